/** The read-modify-write operations of `Atomics`. */
export type RmwKind = "add" | "and" | "compareExchange" | "exchange" | "or" | "sub" | "xor";

export type OperationKind = "load" | "store" | "atomicLoad" | "atomicStore" | RmwKind | "wait" | "notify" | "pause";

/** One access of a thread to the shared words. */
export interface Operation {
  readonly kind: OperationKind;
  /** Word; -1 for a pause. */
  readonly at: number;
  /** Operand; the timeout (ms) of a wait, the count of a notify. */
  readonly value: number;
  /** What a compareExchange and a wait compare with. */
  readonly expected: number;
}

/** What an operation gives back to the code that did it. */
export type Response = number | "not-equal" | "ok" | "timed-out" | undefined;

export function isPlain({ kind }: Operation): boolean {
  return kind === "load" || kind === "store";
}

/** What a read-modify-write makes of `old`; undefined where it writes nothing. Other operations: their operand. */
export function valueWritten({ kind, value, expected }: Operation, old: number): number | undefined {
  switch (kind) {
    case "add":
      return (old + value) | 0;
    case "sub":
      return (old - value) | 0;
    case "and":
      return old & value;
    case "or":
      return old | value;
    case "xor":
      return old ^ value;
    case "compareExchange":
      return old === expected ? value : undefined;
    case "exchange":
    case "store":
    case "atomicStore":
      return value;
    default:
      return undefined;
  }
}

/** Whether it touches a word. */
export function isAccess({ kind }: Operation): boolean {
  return kind !== "pause" && kind !== "notify";
}

/** Whether no other thread can notice that the operation was done. */
export function leavesNoTrace(operation: Operation, response: Response): boolean {
  switch (operation.kind) {
    case "load":
    case "atomicLoad":
    case "pause":
      return true;
    case "store":
    case "atomicStore":
    case "wait":
    case "notify":
      return false;
    default:
      return (valueWritten(operation, Number(response)) ?? response) === response;
  }
}

export function sameOperation(a: Operation, b: Operation): boolean {
  return a.kind === b.kind && a.at === b.at && Object.is(a.value, b.value) && a.expected === b.expected;
}

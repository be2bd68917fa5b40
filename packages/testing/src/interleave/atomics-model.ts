import { type Operation, type OperationKind, type Response, type RmwKind } from "./operation.ts";
import { UnsupportedAccessError } from "./unsupported-access-error.ts";

type Perform = (operation: Operation) => Response;
type AtomicsMethod = (words: Int32Array, ...args: number[]) => unknown;

const RMW_KINDS: readonly RmwKind[] = ["add", "and", "exchange", "or", "sub", "xor"];

/**
 * An object in the shape of `Atomics`: calls on `words` become operations, calls on any other array go to the real
 * `Atomics`.
 */
export function createAtomicsModel(words: Int32Array, perform: Perform): typeof Atomics {
  const real: Readonly<Record<string, unknown>> = Object.fromEntries(
    Object.getOwnPropertyNames(Atomics).map((name) => [name, Reflect.get(Atomics, name) as unknown]),
  );
  const model: Record<string, unknown> = { ...real };
  const define = (name: string, ofWords: (at: number, args: readonly number[]) => unknown): void => {
    const method: AtomicsMethod = (array, ...args) =>
      array === words
        ? ofWords(checkWord(words, args[0]), args.slice(1))
        : (real[name] as AtomicsMethod)(array, ...args);
    model[name] = method;
  };
  const operation = (kind: OperationKind, at: number, value = 0, expected = 0): Response =>
    perform({ kind, at, value: value | 0, expected: expected | 0 });

  for (const kind of RMW_KINDS) define(kind, (at, [value]) => operation(kind, at, value));
  define("load", (at) => operation("atomicLoad", at));
  define("store", (at, [value]) => {
    operation("atomicStore", at, value);
    return value;
  });
  define("compareExchange", (at, [expected, value]) => operation("compareExchange", at, value, expected));
  define("wait", (at, [expected = 0, timeoutMs = Infinity]) =>
    perform({ kind: "wait", at, value: timeoutMs, expected: expected | 0 }),
  );
  define("notify", (at, [count = Infinity]) => perform({ kind: "notify", at, value: count, expected: 0 }));
  define("waitAsync", () => {
    throw new UnsupportedAccessError("Atomics.waitAsync is not modelled: threads are synchronous");
  });
  model["pause"] = (): void => void perform({ kind: "pause", at: -1, value: 0, expected: 0 });
  return model as unknown as typeof Atomics;
}

/** The word that an index names. Throws RangeError outside of the memory, which is a failure of the thread. */
export function checkWord(words: Int32Array, at: number | undefined): number {
  if (at === undefined || !Number.isInteger(at) || at < 0 || at >= words.length) {
    throw new RangeError(`access to word ${at} of a shared memory of ${words.length} words`);
  }
  return at;
}

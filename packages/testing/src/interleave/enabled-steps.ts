import { staleChoices } from "./load-window.ts";
import { type MachineState, type ThreadState } from "./machine-state.ts";
import { type MemoryModel } from "./memory-model.ts";
import { type Operation, valueWritten } from "./operation.ts";
import { type Step } from "./step.ts";
import { flushable, forwarded, hasAtomic, reserves } from "./store-buffer.ts";

/** What the rules depend on besides the state. */
export interface Rules {
  readonly model: MemoryModel;
  /** Whether a pause may go on although nothing has changed. */
  readonly freePause: boolean;
  /** Whether waits with a timeout time out. */
  readonly timeouts: boolean;
}

/** Whether doing the operation only fills the thread's own store buffer. */
export function isBuffered({ kind }: Operation, model: MemoryModel): boolean {
  return model !== "sc" && (kind === "store" || (kind === "atomicStore" && model === "weak"));
}

/**
 * The steps to explore from a state. A store into the own buffer is a step that no other thread sees and that nothing
 * can prevent: if there is one, it alone is explored, as it commutes with everything else.
 */
export function enabledSteps(state: MachineState, rules: Rules): Step[] {
  const runs: Step[] = [];
  const others: Step[] = [];
  for (const [thread, { node, mayTimeOut }] of state.threads.entries()) {
    const { operation } = node;
    if (state.isAsleep(thread)) {
      if (mayTimeOut && rules.timeouts && hasTimeout(operation)) others.push({ thread, kind: "timeout", arg: 0 });
    } else if (operation !== null) {
      if (isBuffered(operation, rules.model)) return [{ thread, kind: "run", arg: 0 }];
      runs.push(...runsOf(state, thread, operation, rules));
    }
    others.push(...flushesOf(state, thread, rules));
  }
  return [...runs, ...others];
}

function hasTimeout(wait: Operation | null): boolean {
  return Number.isFinite(wait?.value);
}

function runsOf(state: MachineState, index: number, operation: Operation, rules: Rules): Step[] {
  const thread = state.thread(index);
  if (!canRun(state, index, thread, operation, rules)) return [];
  const steps: Step[] = [{ thread: index, kind: "run", arg: 0 }];
  const { kind, at } = operation;
  if ((kind !== "load" && kind !== "atomicLoad") || forwarded(thread.buffer, at) !== undefined) return steps;
  const stale = staleChoices(thread.window, at, kind === "atomicLoad");
  for (const position of stale) steps.push({ thread: index, kind: "run", arg: position + 1 });
  return steps;
}

function canRun(state: MachineState, index: number, thread: ThreadState, operation: Operation, rules: Rules): boolean {
  const { buffer } = thread;
  switch (operation.kind) {
    case "load":
    case "store":
      return true;
    case "pause":
      return rules.freePause || thread.mayPass;
    case "atomicLoad":
      // Atomics keep their order: an atomic store of this thread must be visible first.
      return !hasAtomic(buffer);
    case "atomicStore":
    case "wait":
    case "notify":
      return buffer.length === 0;
    default:
      return canModify(state, index, buffer, operation, rules);
  }
}

function canModify(
  state: MachineState,
  index: number,
  buffer: ThreadState["buffer"],
  operation: Operation,
  { model }: Rules,
): boolean {
  const { at } = operation;
  const writes = valueWritten(operation, state.memory[at]!) !== undefined;
  // A compareExchange that fails is no more than an acquire: it lets nothing out.
  if (!writes && model === "weak") return !hasAtomic(buffer) && forwarded(buffer, at) === undefined;
  return buffer.length === 0 && !isReserved(state, index, at);
}

function flushesOf(state: MachineState, thread: number, { model }: Rules): Step[] {
  return flushable(state.thread(thread).buffer, model === "tso")
    .filter(({ at }) => !isReserved(state, thread, at))
    .map(({ at }) => ({ thread, kind: "flush", arg: at }));
}

function isReserved(state: MachineState, thread: number, at: number): boolean {
  return state.threads.some(({ buffer }, other) => other !== thread && reserves(buffer, at));
}

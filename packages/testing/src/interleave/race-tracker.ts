import {
  type AccessRecord,
  afterAtomicRead,
  afterWake,
  afterWrite,
  findRace,
  recordOf,
  withAccess,
  withoutOrdered,
} from "./access-record.ts";
import { type MachineState } from "./machine-state.ts";
import { isPlain, type Operation, valueWritten } from "./operation.ts";

/**
 * Follows what happens before what while a program runs under "sc". A program without data races has only the
 * sequentially consistent executions, on every JavaScript engine: that is what the language guarantees.
 */
export class RaceTracker {
  readonly #isForbidden: (at: number) => boolean;

  constructor(isForbidden: (at: number) => boolean) {
    this.#isForbidden = isForbidden;
  }

  /** Before `thread` does an operation that accesses a word. */
  access(state: MachineState, thread: number, operation: Operation): void {
    const { at } = operation;
    const plain = isPlain(operation);
    const reads = operation.kind !== "store" && operation.kind !== "atomicStore";
    const writes = valueWritten(operation, state.memory[at]!) !== undefined;
    if (reads && !plain) state.accesses = afterAtomicRead(state.accesses, thread, at);
    if (this.#isForbidden(at)) this.#record(state, recordOf(operation, thread, writes));
    if (writes) state.accesses = afterWrite(state.accesses, thread, at, plain);
  }

  /** Each comes after what the other did before: the list of sleepers is guarded by a lock of the engine. */
  wake(state: MachineState, waker: number, sleeper: number): void {
    state.accesses = afterWake(afterWake(state.accesses, waker, sleeper), sleeper, waker);
  }

  /** Forgets what can race no more. */
  prune(state: MachineState): void {
    const live = state.threads.reduce(
      (bits, { node }, thread) => (node.operation === null ? bits : bits | (1 << thread)),
      0,
    );
    state.accesses = withoutOrdered(state.accesses, live);
  }

  #record(state: MachineState, later: AccessRecord): void {
    const earlier = findRace(state.accesses, later);
    if (earlier !== undefined) state.race ??= { at: later.at, earlier, later };
    state.accesses = withAccess(state.accesses, later);
  }
}

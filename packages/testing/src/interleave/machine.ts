import { DirectWords } from "./direct-words.ts";
import { enabledSteps, isBuffered, type Rules } from "./enabled-steps.ts";
import { afterAtomicLoad, afterOwnWrite, afterPlainLoad, EMPTY_WINDOW, withOverwritten } from "./load-window.ts";
import { MachineState } from "./machine-state.ts";
import { type MemoryModel } from "./memory-model.ts";
import { ModelledWords } from "./modelled-words.ts";
import { isAccess, isPlain, leavesNoTrace, type Operation, type Response, valueWritten } from "./operation.ts";
import { type InterleaveProgram } from "./program.ts";
import { RaceTracker } from "./race-tracker.ts";
import { type Step } from "./step.ts";
import { type BufferedStore, forwarded } from "./store-buffer.ts";
import { ThreadHistory } from "./thread-history.ts";
import { WordNames } from "./word-names.ts";

/** A program together with a memory model: from a state and a step, the next state. */
export class Machine {
  readonly threadNames: readonly string[];
  readonly model: MemoryModel;
  /** Whether states record who ran last, and how often a thread was left that could have gone on. */
  readonly countsPreemptions: boolean;
  readonly #rules: Rules;
  readonly #histories: readonly ThreadHistory[];
  readonly #initial: Int32Array;
  /** Where races are looked for. */
  readonly #races: RaceTracker | null;

  constructor(program: InterleaveProgram<unknown>, model: MemoryModel, countsPreemptions: boolean) {
    this.threadNames = Object.keys(program.threads);
    this.model = model;
    this.countsPreemptions = countsPreemptions;
    const names = new WordNames(program);
    const looksForRaces = model === "sc" && program.forbidRaces !== undefined && program.forbidRaces !== false;
    this.#races = looksForRaces ? new RaceTracker((at) => names.isRaceForbidden(at)) : null;
    this.#rules = { model, freePause: program.pause === "free", timeouts: program.timeouts !== "never" };
    const words = new ModelledWords(program.words);
    const setUp = (): { context: unknown; memory: Int32Array } => {
      const direct = new DirectWords(program.words);
      return { context: words.run(direct, () => program.setup?.(words.i32)), memory: direct.i32 };
    };
    this.#initial = setUp().memory;
    this.#histories = Object.entries(program.threads).map(
      ([name, body]) => new ThreadHistory(name, words, () => body(words.i32, setUp().context)),
    );
  }

  start(): MachineState {
    const roots = this.#histories.map(({ root }) => root);
    return MachineState.start(this.#initial.slice(), roots);
  }

  enabled(state: MachineState): Step[] {
    return enabledSteps(state, this.#rules);
  }

  /** The state after an enabled step. */
  take(before: MachineState, step: Step): MachineState {
    const state = before.copy();
    if (this.countsPreemptions && step.kind !== "flush") this.#countPreemption(state, step);
    if (step.kind === "flush") this.#flush(state, step);
    else if (step.kind === "timeout") this.#timeOut(state, step.thread);
    else this.#run(state, step);
    this.#races?.prune(state);
    return state;
  }

  /** Whether the step leaves a thread that could go on. */
  preempts(state: MachineState, step: Step): boolean {
    if (step.kind === "flush" || state.lastThread < 0 || step.thread === state.lastThread) return false;
    if (this.#isInvisible(state, step)) return false;
    return this.enabled(state).some(({ kind, thread }) => kind !== "flush" && thread === state.lastThread);
  }

  #countPreemption(state: MachineState, step: Step): void {
    if (this.#isInvisible(state, step)) return;
    if (this.preempts(state, step)) state.preemptions++;
    state.lastThread = step.thread;
  }

  #isInvisible(state: MachineState, { thread }: Step): boolean {
    const { operation } = state.thread(thread).node;
    return operation !== null && isBuffered(operation, this.model);
  }

  #run(state: MachineState, { thread, arg }: Step): void {
    const { operation } = state.thread(thread).node;
    if (operation === null) throw new RangeError(`thread ${thread} has ended`);
    if (isAccess(operation)) this.#races?.access(state, thread, operation);
    switch (operation.kind) {
      case "load":
      case "atomicLoad":
        return this.#load(state, thread, operation, arg === 0 ? undefined : arg - 1);
      case "store":
      case "atomicStore":
        return this.#store(state, thread, operation);
      case "wait":
        return this.#wait(state, thread, operation);
      case "notify":
        return this.#notify(state, thread, operation);
      case "pause":
        return this.#pause(state, thread);
      default:
        return this.#modify(state, thread, operation);
    }
  }

  #load(state: MachineState, thread: number, { kind, at }: Operation, position: number | undefined): void {
    const { buffer, window } = state.thread(thread);
    const own = forwarded(buffer, at);
    if (own !== undefined) return this.#advance(state, thread, own);
    const value = position === undefined ? state.memory[at]! : window.gone[position]?.old;
    const rest = kind === "load" ? afterPlainLoad(window, at, position) : afterAtomicLoad(window, position);
    state.update(thread, { window: rest });
    this.#advance(state, thread, value);
  }

  #store(state: MachineState, thread: number, operation: Operation): void {
    const { at, value } = operation;
    const atomic = operation.kind === "atomicStore";
    if (isBuffered(operation, this.model)) this.#buffer(state, thread, { at, value, atomic, reserves: false });
    else this.#write(state, thread, at, value, atomic);
    this.#advance(state, thread, undefined);
  }

  #modify(state: MachineState, thread: number, operation: Operation): void {
    const { at } = operation;
    const old = state.memory[at]!;
    const value = valueWritten(operation, old);
    state.update(thread, { window: EMPTY_WINDOW });
    this.#advance(state, thread, old);
    if (value === undefined) return;
    const next = state.thread(thread).node.operation;
    // Plain accesses that follow may overtake the write, as its acquire belongs to the read; nothing else may.
    const overtakes = this.model === "weak" && next !== null && isPlain(next);
    if (overtakes) this.#buffer(state, thread, { at, value, atomic: true, reserves: true });
    else this.#write(state, thread, at, value, true);
  }

  #wait(state: MachineState, thread: number, { at, value: timeoutMs, expected }: Operation): void {
    state.update(thread, { window: EMPTY_WINDOW });
    if (state.memory[at] !== expected) this.#advance(state, thread, "not-equal");
    else if (timeoutMs <= 0 && this.#rules.timeouts) this.#advance(state, thread, "timed-out");
    else state.sleepers = [...state.sleepers, thread];
  }

  #timeOut(state: MachineState, thread: number): void {
    state.sleepers = state.sleepers.filter((sleeper) => sleeper !== thread);
    state.update(thread, { mayTimeOut: false });
    this.#advance(state, thread, "timed-out");
  }

  #notify(state: MachineState, thread: number, { at, value: count }: Operation): void {
    const there = state.sleepers.filter((sleeper) => state.thread(sleeper).node.operation?.at === at);
    const woken = there.slice(0, Math.max(0, count));
    state.sleepers = state.sleepers.filter((sleeper) => !woken.includes(sleeper));
    for (const sleeper of woken) {
      this.#races?.wake(state, thread, sleeper);
      this.#advance(state, sleeper, "ok");
    }
    state.update(thread, { window: EMPTY_WINDOW });
    this.#advance(state, thread, woken.length);
  }

  /**
   * An attempt between two fair pauses that nobody noticed counts as not made: the thread is where it was when it began.
   * Every state so reached can be reached (the thread could have waited instead), and spinning makes no new ones.
   */
  #pause(state: MachineState, thread: number): void {
    if (this.#rules.freePause) return this.#advance(state, thread, undefined);
    const { spinStart } = state.thread(thread);
    state.update(thread, { mayPass: false, window: EMPTY_WINDOW });
    if (spinStart !== null) return state.update(thread, { node: spinStart });
    this.#advance(state, thread, undefined);
    state.update(thread, { spinStart: state.thread(thread).node });
  }

  #buffer(state: MachineState, thread: number, store: BufferedStore): void {
    state.update(thread, { buffer: [...state.thread(thread).buffer, store] });
  }

  #flush(state: MachineState, { thread, arg: at }: Step): void {
    const { buffer } = state.thread(thread);
    const oldest = buffer.find((entry) => entry.at === at);
    if (oldest === undefined) throw new RangeError(`thread ${thread} has no store to word ${at}`);
    state.update(thread, { buffer: buffer.filter((entry) => entry !== oldest) });
    this.#write(state, thread, at, oldest.value, oldest.atomic);
  }

  /** Makes a value visible to all. */
  #write(state: MachineState, writer: number, at: number, value: number, atomic: boolean): void {
    const old = state.memory[at]!;
    state.memory[at] = value;
    const { window } = state.thread(writer);
    if (window.gone.length > 0) state.update(writer, { window: afterOwnWrite(window, at, atomic) });
    if (old === value) return;
    for (const [thread, { node, window: theirs }] of state.threads.entries()) {
      if (thread === writer || node.operation === null) continue;
      const keepsOld = this.model === "weak" && !state.isAsleep(thread);
      const seen = keepsOld ? withOverwritten(theirs, at, old) : theirs;
      state.update(thread, { mayPass: true, mayTimeOut: true, window: seen });
    }
  }

  #advance(state: MachineState, thread: number, response: Response): void {
    const { node, spinStart } = state.thread(thread);
    const history = this.#histories[thread];
    if (history === undefined) throw new RangeError(`no thread ${thread}`);
    const next = history.after(node, response);
    const isNoticed = node.operation !== null && !leavesNoTrace(node.operation, response);
    state.update(thread, { node: next, spinStart: isNoticed ? null : spinStart });
    if (next.operation === null) state.update(thread, { window: EMPTY_WINDOW, mayPass: false, mayTimeOut: false });
  }
}

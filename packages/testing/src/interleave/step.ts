/** One move of a schedule. */
export interface Step {
  /** Number of the thread, in the order of the program. */
  readonly thread: number;
  /** Do the next operation; let a buffered store out; let a wait time out. */
  readonly kind: "run" | "flush" | "timeout";
  /**
   * Of a run: 0, or 1 + the position in the thread's load window of the older value that the load returns. Of a flush:
   * the word. Otherwise 0.
   */
  readonly arg: number;
}

/** `producer`, `consumer?2` (an older value), `producer!3` (flush of word 3), `consumer~` (timeout). */
export function formatStep({ thread, kind, arg }: Step, threadNames: readonly string[]): string {
  const name = threadNames[thread] ?? `${thread}`;
  if (kind === "flush") return `${name}!${arg}`;
  if (kind === "timeout") return `${name}~`;
  return arg === 0 ? name : `${name}?${arg}`;
}

export function parseStep(text: string, threadNames: readonly string[]): Step {
  const [, name = "", mark = "", arg = "0"] = /^([^\s!?~:]+)(?:([!?~])(\d+)?)?$/.exec(text) ?? [];
  const thread = threadNames.indexOf(name);
  if (thread < 0) throw new TypeError(`"${text}" is no step of this program`);
  const kind = mark === "!" ? "flush" : mark === "~" ? "timeout" : "run";
  return { thread, kind, arg: Number(arg) };
}

export function sameStep(a: Step, b: Step): boolean {
  return a.thread === b.thread && a.kind === b.kind && a.arg === b.arg;
}

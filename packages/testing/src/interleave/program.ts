/** What is left when every thread has ended and every store is visible. */
export interface FinalState {
  /** A copy of the shared words: production code may be run on it. */
  readonly i32: Int32Array;
  /** What each thread's function returned, by name. */
  readonly results: Readonly<Record<string, unknown>>;
}

/** Code of one thread. */
export type ThreadBody<Context> = (i32: Int32Array, context: Context) => unknown;

/**
 * A small concurrent program for the explorer. Its threads are ordinary synchronous functions over ordinary-looking
 * words: production code is called as it is.
 *
 * The explorer runs a thread's function from the beginning again and again, and feeds it what its operations answered.
 * So a thread makes its own JavaScript objects (or has `setup` make them: it runs before each run of a thread, as if
 * every thread were a worker that attaches to the memory), changes nothing outside of them, and uses no clock and no
 * chance. A thread that does not repeat itself is refused.
 */
export interface InterleaveProgram<Context = undefined> {
  /** Shared 32-bit words, all 0 before setup. */
  readonly words: number;
  /** Names for reports: a word, or the first word and the number of words. */
  readonly names?: Readonly<Record<string, number | readonly [first: number, count: number]>>;
  /** Fills the words, and makes what each thread is given; runs alone, and its accesses are not explored. */
  setup?(i32: Int32Array): Context;
  /** By name. A thread that throws is a failure; what it returns is for `check` and the outcomes. */
  readonly threads: Readonly<Record<string, ThreadBody<Context>>>;
  /** Throws where the end of a schedule is wrong. */
  check?(end: FinalState): void;
  /** Throws where the visible words are wrong, at every state. It gets a copy. */
  invariant?(i32: Int32Array): void;
  /** One line that tells this end from another; the default is what the threads returned, as JSON. */
  outcome?(end: FinalState): string;
  /** Where a data race is a failure: everywhere (true), or in the words of these names. Default nowhere. */
  readonly forbidRaces?: boolean | readonly string[];
  /**
   * What `Atomics.pause()` means. "fair" (the default): go on when another thread has changed a word since the last
   * pause; an attempt between two pauses that changed nothing counts as not made. So unbounded spinning ends, and spins
   * cannot be counted. "free": go on at any time, for code that gives up after a few spins.
   */
  readonly pause?: "fair" | "free";
  /**
   * "fire" (the default): an `Atomics.wait` with a timeout may time out at any moment, again only after another thread
   * has changed a word. "never": to find a lost wake-up that a timeout hides.
   */
  readonly timeouts?: "fire" | "never";
}

const THREAD_NAME = /^[^\s!?~:]+$/;

/** Throws RangeError or TypeError on a program that cannot be explored. */
export function checkProgram<Context>({ words, threads, names = {}, forbidRaces }: InterleaveProgram<Context>): void {
  if (!Number.isInteger(words) || words < 1)
    throw new RangeError(`words must be an integer of 1 or more, got ${words}`);
  const threadNames = Object.keys(threads);
  if (threadNames.length < 1 || threadNames.length > 30) {
    throw new RangeError(`a program has 1 to 30 threads, got ${threadNames.length}`);
  }
  for (const name of threadNames) {
    if (!THREAD_NAME.test(name)) throw new TypeError(`thread name "${name}" has a space or one of ! ? ~ :`);
  }
  for (const [name, place] of Object.entries(names)) {
    const [first, count] = typeof place === "number" ? [place, 1] : place;
    if (first < 0 || first + count > words) throw new RangeError(`${name} names words outside of the ${words} words`);
  }
  if (typeof forbidRaces !== "object") return;
  for (const name of forbidRaces) {
    if (!Object.hasOwn(names, name)) throw new RangeError(`forbidRaces: no words are named ${name}`);
  }
}

/** A store that its thread has done and the others do not see yet. */
export interface BufferedStore {
  readonly at: number;
  readonly value: number;
  /** By Atomics: becomes visible after every store before it. */
  readonly atomic: boolean;
  /** The write of a read-modify-write: until it is visible, no other thread may write that word. */
  readonly reserves: boolean;
}

/** A thread's stores, oldest first. Never changed in place. */
export type StoreBuffer = readonly BufferedStore[];

/** What the thread itself reads at `at`: its newest store there, or undefined. */
export function forwarded(buffer: StoreBuffer, at: number): number | undefined {
  return buffer.findLast((entry) => entry.at === at)?.value;
}

/**
 * The entries that may become visible next. In order: the oldest. Otherwise the oldest of each word, an atomic one only
 * when it is the oldest of all; plain stores may overtake it, as a release store does not hold back what comes after.
 */
export function flushable(buffer: StoreBuffer, inOrder: boolean): readonly BufferedStore[] {
  if (inOrder) return buffer.slice(0, 1);
  return buffer.filter(
    (entry, index) => index === 0 || (!entry.atomic && buffer.findIndex(({ at }) => at === entry.at) === index),
  );
}

export function hasAtomic(buffer: StoreBuffer): boolean {
  return buffer.some(({ atomic }) => atomic);
}

export function reserves(buffer: StoreBuffer, at: number): boolean {
  return buffer.some((entry) => entry.reserves && entry.at === at);
}

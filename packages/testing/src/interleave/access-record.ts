import { isPlain, type Operation } from "./operation.ts";

/**
 * The last access of one kind by one thread to one word, and whom it happens before: an access by a thread in
 * `threads`, and by whoever next reads a word in `words` by Atomics, comes after it. (The Goldilocks algorithm; it needs
 * no clocks, so equal situations are equal states.)
 */
export interface AccessRecord {
  readonly at: number;
  readonly thread: number;
  readonly writes: boolean;
  readonly plain: boolean;
  /** Bit set. */
  readonly threads: number;
  /** Sorted. */
  readonly words: readonly number[];
}

/** All records of a state; never changed in place. */
export type AccessRecords = readonly AccessRecord[];

/** Two accesses that nothing orders. */
export interface Race {
  readonly at: number;
  readonly earlier: AccessRecord;
  readonly later: AccessRecord;
}

const bit = (thread: number): number => 1 << thread;

/** An access about to be made. */
export function recordOf(operation: Operation, thread: number, writes: boolean): AccessRecord {
  return { at: operation.at, thread, writes, plain: isPlain(operation), threads: bit(thread), words: [] };
}

/** An access of another thread that races with `access`: one of the two writes, one is plain, nothing orders them. */
export function findRace(records: AccessRecords, access: AccessRecord): AccessRecord | undefined {
  return records.find(
    ({ at, thread, writes, plain, threads }) =>
      at === access.at &&
      thread !== access.thread &&
      (writes || access.writes) &&
      (plain || access.plain) &&
      (threads & bit(access.thread)) === 0,
  );
}

/** With `access` in place of the thread's earlier one of that kind, which is ordered wherever this one is. */
export function withAccess(records: AccessRecords, access: AccessRecord): AccessRecords {
  const isReplaced = ({ at, thread, writes, plain }: AccessRecord): boolean =>
    at === access.at && thread === access.thread && writes === access.writes && plain === access.plain;
  return [...records.filter((record) => !isReplaced(record)), access];
}

/** `thread` reads what an atomic write left in `at`: what came before that write, comes before the thread. */
export function afterAtomicRead(records: AccessRecords, thread: number, at: number): AccessRecords {
  return records.map((record) => {
    return record.words.includes(at) ? { ...record, threads: record.threads | bit(thread) } : record;
  });
}

/** `thread` writes `at`. Only an atomic write hands on what comes before the thread. */
export function afterWrite(records: AccessRecords, thread: number, at: number, plain: boolean): AccessRecords {
  return records.map((record) => {
    const others = record.words.filter((word) => word !== at);
    const isHandedOn = !plain && (record.threads & bit(thread)) !== 0;
    return { ...record, words: isHandedOn ? [...others, at].sort((a, b) => a - b) : others };
  });
}

/** What comes before `from`, comes before `to` from now on. */
export function afterWake(records: AccessRecords, from: number, to: number): AccessRecords {
  return records.map((record) => {
    const isHandedOn = (record.threads & bit(from)) !== 0;
    return isHandedOn ? { ...record, threads: record.threads | bit(to) } : record;
  });
}

/** Without the records that can race no more: they come before all of `live`, a bit set. */
export function withoutOrdered(records: AccessRecords, live: number): AccessRecords {
  return records.filter(({ thread, threads }) => (live & ~threads & ~bit(thread)) !== 0);
}

export function keyOf(records: AccessRecords): string {
  const keys = records.map(
    ({ at, thread, writes, plain, threads, words }) =>
      `${at}.${thread}${writes ? "w" : "r"}${plain ? "p" : "a"}${threads}:${words.join(".")}`,
  );
  return keys.sort().join();
}

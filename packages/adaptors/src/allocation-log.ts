/*
 * A log is a list of 32-bit words: a header of three, then records. Buffers have serial numbers, in the order that they
 * were given out, so that a record of an allocation need not name them.
 *
 *   header   MAGIC, version, words of records
 *   init     1 | pool << 3, order | dmaDir << 8 | dmaMap << 12
 *   destroy  2 | pool << 3
 *   alloc    3 | pool << 3, buffers asked for, buffers given
 *   release  4 | pool << 3, serial number
 */
import { checkInt, failParam } from "@netmem/core";

const MAGIC = 0x6e6d6c67;
const VERSION = 1;
const HEADER_WORDS = 3;
const KIND_BITS = 3;
const KIND_MASK = 7;
const DEFAULT_MAX_WORDS = 2 ** 22;
const FIRST_WORDS = 1024;

/** Kinds of records, and how many words each has. */
export const LogKind = { Init: 1, Destroy: 2, Alloc: 3, Release: 4 } as const;
const WORDS_OF = [0, 2, 1, 3, 2] as const;

export interface AllocationLogParams {
  /** Words that the log may grow to; what happens afterwards is not recorded. Default 4 Mi (16 MiB). */
  readonly maxWords?: number;
}

/** One record of a log. What a field means depends on the kind. */
export interface LogRecord {
  readonly kind: number;
  /** Number of the pool, in the order of their creation. */
  readonly pool: number;
  readonly first: number;
  readonly second: number;
}

/** What pools asked of a provider and gave back, as integers. Written by `withLog`, read by `replayLog`. */
export class AllocationLog {
  /** True once the log was full and something was not recorded. */
  truncated = false;
  private words: Int32Array;
  private length = 0;
  private readonly maxWords: number;

  constructor(params: AllocationLogParams = {}) {
    this.maxWords = checkInt("maxWords", params.maxWords ?? DEFAULT_MAX_WORDS, 16, 2 ** 28);
    this.words = new Int32Array(Math.min(FIRST_WORDS, this.maxWords));
  }

  /**
   * The log that {@link toWords} made.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for anything else.
   */
  static fromWords(words: Int32Array): AllocationLog {
    const length = words.length - HEADER_WORDS;
    const isLog = words[0] === MAGIC && words[1] === VERSION && words[2] === length;
    if (!isLog) failParam("words", words[0], `an allocation log of version ${VERSION}`, "Pass what toWords returned.");
    const log = new AllocationLog({ maxWords: Math.max(length, 16) });
    log.words = words.slice(HEADER_WORDS);
    log.length = length;
    log.checkRecords();
    return log;
  }

  /** Words of records so far. */
  get wordCount(): number {
    return this.length;
  }

  /** A copy of header and records, to be stored or sent. */
  toWords(): Int32Array {
    const copy = new Int32Array(HEADER_WORDS + this.length);
    copy.set([MAGIC, VERSION, this.length]);
    copy.set(this.words.subarray(0, this.length), HEADER_WORDS);
    return copy;
  }

  /** Appends a record; false, and {@link truncated}, when the log is full: records after a gap would mislead. */
  append(kind: number, pool: number, first: number, second: number): boolean {
    const size = WORDS_OF[kind]!;
    if (this.truncated || (this.length + size > this.words.length && !this.grow())) {
      this.truncated = true;
      return false;
    }
    const { words } = this;
    words[this.length] = kind | (pool << KIND_BITS);
    if (size > 1) words[this.length + 1] = first;
    if (size > 2) words[this.length + 2] = second;
    this.length += size;
    return true;
  }

  /** Every record, oldest first. */
  *records(): Generator<LogRecord> {
    const { words } = this;
    for (let at = 0; at < this.length;) {
      const kind = words[at]! & KIND_MASK;
      const size = WORDS_OF[kind]!;
      yield {
        kind,
        pool: words[at]! >>> KIND_BITS,
        first: size > 1 ? words[at + 1]! : 0,
        second: size > 2 ? words[at + 2]! : 0,
      };
      at += size;
    }
  }

  private grow(): boolean {
    const size = Math.min(this.words.length * 2, this.maxWords);
    if (size < this.length + WORDS_OF[LogKind.Alloc]) return false;
    const grown = new Int32Array(size);
    grown.set(this.words);
    this.words = grown;
    return true;
  }

  /** What comes from outside is looked at before it is believed. */
  private checkRecords(): void {
    let at = 0;
    while (at < this.length) {
      const kind = this.words[at]! & KIND_MASK;
      const size = WORDS_OF[kind] ?? 0;
      const isAlloc = kind === LogKind.Alloc;
      const isSane = !isAlloc || (this.words[at + 1]! > 0 && this.words[at + 2]! >>> 0 <= this.words[at + 1]!);
      if (size === 0 || at + size > this.length || !isSane) {
        failParam("words", this.words[at], `a record at word ${at}`, "Pass what toWords returned.");
      }
      at += size;
    }
  }
}

/* data path */
import { SpscConsumer, SpscProducer } from "@netmem/ring";
import { ENTRY_LEN as ENTRY_LEN_, ENTRY_OFFSET, ENTRY_OFFSET_HIGH, ENTRY_WORDS as ENTRY_WORDS_ } from "./entries.ts";

const ENTRY_WORDS = ENTRY_WORDS_;
const LEN = ENTRY_LEN_;
const BATCH = 32;

/** Where the application finds its rings: a `Zcrx`, or the numbers of one in another thread. */
export interface ZcrxRings {
  readonly completionAt: number;
  readonly refillAt: number;
}

/**
 * The application's end: takes completions, gives buffers back. On any one thread that has the host.
 *
 *     while (user.next()) { read(areaOffset + user.offset, user.length); user.giveBack(); }
 *     user.flush();
 */
export class ZcrxUser {
  declare private readonly completions: SpscConsumer;
  declare private readonly refill: SpscProducer;
  declare private readonly taken: Int32Array;
  declare private readonly entry: Int32Array;
  declare private at: number;
  declare private words: number;
  /** Of the current completion: where its bytes are, from the start of the area. */
  declare offset: number;
  /** Of the current completion: bytes. */
  declare length: number;

  constructor(host: { readonly i32: Int32Array }, rings: ZcrxRings) {
    this.completions = new SpscConsumer(host.i32, rings.completionAt);
    this.refill = new SpscProducer(host.i32, rings.refillAt);
    this.taken = new Int32Array(BATCH * ENTRY_WORDS);
    this.entry = new Int32Array(ENTRY_WORDS);
    this.at = 0;
    this.words = 0;
    this.offset = 0;
    this.length = 0;
  }

  /** Goes on to the next completion; false when there is none. Its bytes are the application's until they are given back. */
  next(): boolean {
    if (this.at === this.words && !this.fetch()) return false;
    this.offset = this.taken[this.at + ENTRY_OFFSET]!;
    this.length = this.taken[this.at + LEN]!;
    this.at += ENTRY_WORDS;
    return true;
  }

  /** Gives back the bytes at `offset` of the area, one completion of them. False when the refill ring is full. */
  giveBack(offset: number = this.offset, length: number = this.length): boolean {
    const { entry, refill } = this;
    entry[ENTRY_OFFSET] = offset;
    entry[ENTRY_OFFSET_HIGH] = 0;
    entry[LEN] = length;
    if (refill.room() < ENTRY_WORDS) return false;
    return refill.pushBatch(entry, 0, ENTRY_WORDS) === ENTRY_WORDS;
  }

  /** Shows the queue what was given back. Once per batch. */
  flush(): void {
    this.refill.publish();
  }

  private fetch(): boolean {
    this.words = this.completions.consumeBatch(this.taken, 0, BATCH * ENTRY_WORDS);
    this.at = 0;
    return this.words > 0;
  }
}

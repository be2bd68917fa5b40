/*
 * data path
 *
 * Tokens on their way back without a call: a ring in the arena, one word pair per range {first token, count}. The
 * application, on any thread, is its producer; the socket empties it. Nothing in it is trusted.
 */
import type { Host } from "@netmem/core";
import { createSpscRing, freeSpscRing, SpscProducer } from "@netmem/ring";

const WORDS_PER_RANGE = 2;

/**
 * Takes words of the arena for a ring of `ranges` token ranges; returns where, for `DevmemSocketParams.returnRing` and
 * {@link TokenReturner}. Control path.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `ranges` is a power of two up to 2^19; `ERR_NETMEM_NO_MEMORY` (ENOMEM).
 */
export function createTokenRing(host: Host, ranges: number): number {
  return createSpscRing(host, ranges * WORDS_PER_RANGE);
}

/** Gives the words back; neither end is used any more. Control path. */
export function freeTokenRing(host: Host, at: number): void {
  freeSpscRing(host, at);
}

/** The application's end of a token ring. One thread at a time. */
export class TokenReturner {
  declare private readonly ring: SpscProducer;
  declare private readonly pair: Int32Array;
  /** The range that the next token may continue. */
  declare private start: number;
  declare private count: number;

  constructor(host: { readonly i32: Int32Array }, ringAt: number) {
    this.ring = new SpscProducer(host.i32, ringAt);
    this.pair = new Int32Array(WORDS_PER_RANGE);
    this.start = 0;
    this.count = 0;
  }

  /**
   * Gives back `count` tokens from `token` on; the device has finished reading them. Tokens in a row become one entry. False
   * when the ring is full: nothing was taken, try again once the socket has looked.
   */
  give(token: number, count: number): boolean {
    if (this.count > 0 && token === this.start + this.count) {
      this.count += count;
      return true;
    }
    if (!this.push()) return false;
    this.start = token;
    this.count = count;
    return true;
  }

  /** Shows the socket everything given. False when the last range did not fit; call again later. */
  flush(): boolean {
    const isAll = this.push();
    this.ring.publish();
    return isAll;
  }

  /** Appends the range that was being collected. */
  private push(): boolean {
    if (this.count === 0) return true;
    const { pair, ring } = this;
    pair[0] = this.start;
    pair[1] = this.count;
    if (ring.room() < WORDS_PER_RANGE || ring.pushBatch(pair, 0, WORDS_PER_RANGE) < WORDS_PER_RANGE) {
      ring.publish();
      return false;
    }
    this.count = 0;
    return true;
  }
}

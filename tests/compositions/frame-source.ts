import type { Prng } from "@netmem/testing";
import { Wish } from "./ledger.ts";

/** Where a frame says what it is, in the part that every composition leaves readable. */
const WISH_AT = 15;
const SEQ_AT = 38;
/** Through TCP. */
const HEADER_BYTES = 54;
const NOISE_BYTES = 2 ** 16;
export const MAX_FRAME_BYTES = 9014;

/** How often each wish comes, of 100. */
const WISHES: readonly (readonly [wish: Wish, share: number])[] = [
  [Wish.Consume, 38],
  [Wish.Hold, 16],
  [Wish.Clone, 6],
  [Wish.Copy, 3],
  [Wish.Discard, 4],
  [Wish.Drop, 12],
  [Wish.Transmit, 10],
  [Wish.Redirect, 10],
  [Wish.Abort, 1],
];
const wishTable: readonly Wish[] = WISHES.flatMap(([wish, share]) => Array.from({ length: share }, () => wish));

export function wishOf(u8: Uint8Array, at: number): Wish {
  return u8[at + WISH_AT]! as Wish;
}

export function seqOf(u8: Uint8Array, at: number): number {
  const n = at + SEQ_AT;
  return (u8[n]! << 24) | (u8[n + 1]! << 16) | (u8[n + 2]! << 8) | u8[n + 3]!;
}

/** Frames cut out of noise: TCP, UDP and some that are no IP, of random flows and lengths. */
export class FrameSource {
  readonly bytes: Uint8Array;
  /** Of the frame that {@link make} made. */
  at = 0;
  len = 0;
  private readonly prng: Prng;

  constructor(prng: Prng) {
    this.prng = prng;
    this.bytes = new Uint8Array(NOISE_BYTES + MAX_FRAME_BYTES);
    for (let n = 0; n < this.bytes.length; n++) this.bytes[n] = prng.below(256);
  }

  make(seq: number): void {
    const { prng, bytes } = this;
    const at = prng.below(NOISE_BYTES);
    const len = this.pickLength();
    const kind = prng.below(20);
    bytes[at + 12] = kind === 0 ? 0x88 : 0x08;
    bytes[at + 13] = kind === 0 ? 0xb5 : 0;
    bytes[at + 14] = 0x45;
    bytes[at + WISH_AT] = wishTable[prng.below(wishTable.length)]!;
    bytes[at + 16] = (len - 14) >>> 8;
    bytes[at + 17] = len - 14;
    bytes[at + 20] = 0;
    bytes[at + 21] = 0;
    bytes[at + 23] = kind < 14 ? 6 : 17;
    for (let n = 0; n < 4; n++) bytes[at + SEQ_AT + n] = seq >>> (24 - 8 * n);
    bytes[at + 46] = 0x50;
    this.at = at;
    this.len = len;
  }

  private pickLength(): number {
    const { prng } = this;
    const kind = prng.below(100);
    if (kind < 2) return prng.range(HEADER_BYTES + 6, HEADER_BYTES + 9);
    if (kind < 70) return prng.range(60, 250);
    if (kind < 95) return prng.range(250, 1600);
    return prng.range(1600, MAX_FRAME_BYTES);
  }
}

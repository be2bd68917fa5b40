/** What a worker of `forward.ts` is told. */
export interface ForwardData {
  /** Workers that it may send to. */
  readonly peers: readonly string[];
  /** Takes frames only: it has no queue. */
  readonly isCpu: boolean;
  readonly seed: number;
  /** Of each packet, by number: how often it came to an end where its bytes were looked at. */
  readonly endings: SharedArrayBuffer;
}

/** What a worker says when it stopped. */
export interface ForwardResult {
  readonly wrong: number;
  readonly consumed: number;
  readonly warnings: readonly string[];
  /** Returns that were refused on its thread. */
  readonly refused: number;
}

/** Ethernet, IPv4 without options, UDP; then the packet's number, and a pattern made from it. */
export const NUMBER_AT = 42;
export const PATTERN_AT = 46;
export const MAX_FRAME_BYTES = 9014;

export function readNumber(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

export function writeNumber(bytes: Uint8Array, at: number, number: number): void {
  for (let n = 0; n < 4; n++) bytes[at + n] = number >>> (8 * n);
}

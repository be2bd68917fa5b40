import type { NetmemRef } from "@netmem/core";
import { type SkbRef, type SkbSlab, SkbView } from "@netmem/skb";

/** `len` bytes that come from source `seed`, from its byte `from` on. Negative seeds are unreadable buffers. */
export interface Span {
  readonly seed: number;
  readonly from: number;
  readonly len: number;
}

/** Byte `n` of readable source `seed`. */
export function sourceByte(seed: number, n: number): number {
  return (Math.imul(seed, 0x9e3779b1) >>> 24) ^ (Math.imul(n, 131) & 0xff) ^ (n >>> 8);
}

export function spanBytes(spans: readonly Span[]): number {
  return spans.reduce((sum, span) => sum + span.len, 0);
}

/** Bytes `[from, to)` of what the spans say. */
export function sliceSpans(spans: readonly Span[], from: number, to: number): Span[] {
  const out: Span[] = [];
  let pos = 0;
  for (const { seed, from: start, len } of spans) {
    const a = Math.max(from - pos, 0);
    const b = Math.min(to - pos, len);
    if (b > a) out.push({ seed, from: start + a, len: b - a });
    pos += len;
  }
  return out;
}

/** The skb's bytes as they lie in memory, one piece after the other: where, or which unreadable buffer. */
interface Piece {
  readonly at: number;
  readonly ref: NetmemRef | 0;
  readonly len: number;
}

function piecesOf(slab: SkbSlab, skb: SkbRef, out: Piece[]): Piece[] {
  const view = new SkbView(slab).of(skb);
  const { host } = slab;
  if (view.headLen > 0) out.push({ at: view.data, ref: 0, len: view.headLen });
  for (let n = 0; n < view.nrFrags; n++) {
    const ref = view.fragRef(n);
    const len = view.fragLen(n);
    if (host.isReadable(ref)) out.push({ at: host.offsetOf(ref) + view.fragOffset(n), ref: 0, len });
    else out.push({ at: view.fragOffset(n), ref, len });
  }
  for (let child = view.fragList; child !== 0; child = new SkbView(slab).of(child).next) piecesOf(slab, child, out);
  return out;
}

/** Throws unless the skb has exactly the bytes that the spans say. `nameOf` gives an unreadable buffer its seed. */
export function checkContent(
  slab: SkbSlab,
  skb: SkbRef,
  spans: readonly Span[],
  nameOf: (ref: NetmemRef) => number,
): void {
  const pieces = piecesOf(slab, skb, []);
  const total = pieces.reduce((sum, piece) => sum + piece.len, 0);
  const len = new SkbView(slab).of(skb).len;
  if (total !== len || len !== spanBytes(spans))
    throw new Error(`length ${len}, ${total} in pieces, ${spanBytes(spans)} expected`);
  let pos = 0;
  for (const piece of pieces) {
    for (const span of sliceSpans(spans, pos, pos + piece.len)) {
      checkPiece(slab, piece, span, nameOf);
      pos += span.len;
    }
  }
}

function checkPiece(
  slab: SkbSlab,
  piece: Piece & { done?: number },
  span: Span,
  nameOf: (ref: NetmemRef) => number,
): void {
  const done = piece.done ?? 0;
  piece.done = done + span.len;
  if (piece.ref !== 0 || span.seed < 0) {
    const isSame = piece.ref !== 0 && nameOf(piece.ref) === span.seed && piece.at + done === span.from;
    if (!isSame) throw new Error(`unreadable bytes of source ${span.seed} are not where they belong`);
    return;
  }
  const { u8 } = slab.host;
  for (let n = 0; n < span.len; n++) {
    if (u8[piece.at + done + n] !== sourceByte(span.seed, span.from + n)) {
      throw new Error(`byte ${span.from + n} of source ${span.seed} is wrong`);
    }
  }
}

/*
 * A NetmemRef is a 30-bit integer:
 *
 *   29       21 20                   1  0
 *  +-----------+----------------------+---+
 *  | generation|        index         |iov|
 *  +-----------+----------------------+---+
 *
 * iov = 1 for a net_iov, 0 for a page (the kernel's tag). 0 as a whole is "none".
 * Every integer of this shape is a small integer in V8, also where pointers are compressed.
 */
declare const kind: unique symbol;
declare const access: unique symbol;

/** The CPU may read and write the bytes behind the reference. */
export interface Readable {
  readonly [access]: "readable";
}
/** The bytes behind the reference are out of the CPU's reach (a GPU, a file). */
export interface Unreadable {
  readonly [access]: "unreadable";
}

/** A reference to a page of the arena. Always readable. */
export type PageRef = number & { readonly [kind]: "page" } & Readable;
/** A reference to a net_iov: memory that is described by an area instead of being a page. */
export type NetIovRef = number & { readonly [kind]: "netIov" };
/** A reference to any buffer. Narrow it with `host.isReadable(ref)` before touching bytes. */
export type NetmemRef = PageRef | NetIovRef;
/** What byte accessors take. */
export type ReadableRef = NetmemRef & Readable;
/** A reference whose bytes no accessor hands out. */
export type UnreadableRef = NetIovRef & Unreadable;

export const NET_IOV_TAG = 1;
export const IDX_SHIFT = 1;
export const IDX_BITS = 20;
export const IDX_MASK: number = (1 << IDX_BITS) - 1;
export const GEN_SHIFT = 21;
export const GEN_BITS = 9;
export const GEN_MASK: number = (1 << GEN_BITS) - 1;
/** Added to a reference to get the next generation; mask the sum with {@link REF_MASK}. */
export const GEN_ONE: number = 1 << GEN_SHIFT;
export const REF_MASK = 0x3fffffff;

/** Declares that `value` is a reference, e.g. after reading it from an Int32Array. Free; checks nothing. */
export function asNetmemRef(value: number): NetmemRef {
  return value as NetmemRef;
}

/** Declares that `value` is a page reference. Free; checks nothing. */
export function asPageRef(value: number): PageRef {
  return value as PageRef;
}

export function isNetIov(ref: NetmemRef): ref is NetIovRef {
  return (ref & NET_IOV_TAG) !== 0;
}

export function isPage(ref: NetmemRef): ref is PageRef {
  return (ref & NET_IOV_TAG) === 0;
}

/** Index of the buffer's descriptor in the netmem table. */
export function idxOf(ref: NetmemRef): number {
  return (ref >>> IDX_SHIFT) & IDX_MASK;
}

/** Generation that was current when the reference was made, 0 to 511. */
export function genOf(ref: NetmemRef): number {
  return ref >>> GEN_SHIFT;
}

/** Builds a reference. `tag` is 0 for a page, 1 for a net_iov. */
export function makeRef(idx: number, gen: number, tag: number): NetmemRef {
  return ((gen << GEN_SHIFT) | (idx << IDX_SHIFT) | tag) as NetmemRef;
}

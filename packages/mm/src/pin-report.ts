import {
  compoundHead,
  type Host,
  idxOf,
  INFO_BUDDY,
  INFO_FRAG_MASK,
  INFO_FRAG_SHIFT,
  INFO_ORDER_MASK,
  makeRef,
  META_GEN_MASK,
  META_SHARED,
  metaOwner,
  metaState,
  type NetmemRef,
  NetmemState,
  pageRefCount,
  ppRefCount,
} from "@netmem/core";

/** No block has this many pieces: its allocator still holds the bias that it cuts from. */
const OPEN_COUNT = 2 ** 20;

/**
 * What a buffer or a piece of it really pins: the bytes of its whole block. What a socket's limit should be charged with
 * (kernel: `skb->truesize`, where drivers charge their share of the page instead).
 */
export function truesizeOf(host: Host, ref: NetmemRef): number {
  const head = compoundHead(host, ref);
  return head === 0 ? 0 : host.bufferBytes(head);
}

/** A block that cannot be freed because of pieces of it. */
export interface PinnedBlock {
  readonly ref: NetmemRef;
  /** Name of the owner: the page allocator, a pool. */
  readonly owner: string;
  readonly bytes: number;
  /** References that keep it; -1 while it is still being cut, when the allocator holds an unknown part of them. */
  readonly holders: number;
  /** Bytes that the holders asked for, -1 where nobody wrote down the size of the pieces. */
  readonly usedBytes: number;
}

export interface PinReport {
  /** Everything that is out, whole or in pieces. */
  readonly outBytes: number;
  /** Blocks in pieces, and what they pin. */
  readonly blockCount: number;
  readonly pinnedBytes: number;
  /** Of {@link pinnedBytes}, what is asked for, as far as known. */
  readonly usedBytes: number;
  /** Of {@link pinnedBytes}, blocks of which nothing is known. */
  readonly unknownBytes: number;
  /** How many blocks are pinned by how many holders. */
  readonly blocksByHolders: ReadonlyMap<number, number>;
  /** The most wasteful blocks first. */
  readonly worst: readonly PinnedBlock[];
}

export interface PinReportOptions {
  /** How many of the worst blocks to list. Default 16. */
  readonly worstCount?: number;
  /** Size to assume for pieces of which nobody wrote it down, such as a pool's fragments. */
  readonly fragBytes?: number;
}

/** The pieces of pages that keep whole blocks from coming home: who pins how much for how little. Walks all pages. */
export function pinReport(host: Host, options: PinReportOptions = {}): PinReport {
  const blocks: PinnedBlock[] = [];
  let outBytes = 0;
  for (const ref of outBlocks(host)) {
    outBytes += host.bufferBytes(ref);
    const isShared = (host.i32[idxOf(ref)]! & META_SHARED) !== 0;
    const block = isShared ? describeBlock(host, ref, options.fragBytes ?? 0) : null;
    if (block !== null) blocks.push(block);
  }
  const blocksByHolders = new Map<number, number>();
  for (const { holders } of blocks) blocksByHolders.set(holders, (blocksByHolders.get(holders) ?? 0) + 1);
  const known = blocks.filter(({ usedBytes }) => usedBytes >= 0);
  const pinnedBytes = sum(blocks.map(({ bytes }) => bytes));
  return {
    outBytes,
    blockCount: blocks.length,
    pinnedBytes,
    usedBytes: sum(known.map(({ usedBytes }) => usedBytes)),
    unknownBytes: pinnedBytes - sum(known.map(({ bytes }) => bytes)),
    blocksByHolders,
    worst: blocks.toSorted((a, b) => waste(b) - waste(a)).slice(0, options.worstCount ?? 16),
  };
}

/** The heads of all blocks that are out. */
function* outBlocks(host: Host): Generator<NetmemRef> {
  const { i32, infoAt, layout } = host;
  let idx = layout.firstPageIdx;
  while (idx < layout.pageCount) {
    const meta = i32[idx]!;
    const info = i32[infoAt + idx]!;
    const isFree = metaState(meta) === NetmemState.Free;
    if (metaState(meta) === NetmemState.Out) yield makeRef(idx, meta & META_GEN_MASK, 0);
    idx += isFree && (info & INFO_BUDDY) === 0 ? 1 : 1 << (info & INFO_ORDER_MASK);
  }
}

/** Null for a block that is in one piece as far as one can tell. */
function describeBlock(host: Host, ref: NetmemRef, assumedBytes: number): PinnedBlock | null {
  const idx = idxOf(ref);
  const ownerId = metaOwner(host.i32[idx]!);
  const count = pageRefCount(host, ref) + ppRefCount(host, ref) - 1;
  const mean = ((host.i32[host.infoAt + idx]! >>> INFO_FRAG_SHIFT) & INFO_FRAG_MASK) * 8;
  if (host.isPlainOwner(ownerId) && mean === 0 && count === 1) return null;
  const bytes = host.bufferBytes(ref);
  const isOpen = count >= OPEN_COUNT;
  const fragBytes = mean > 0 ? mean : assumedBytes;
  return {
    ref,
    owner: host.owners.describe(ownerId),
    bytes,
    holders: isOpen ? -1 : count,
    usedBytes: isOpen || fragBytes === 0 ? -1 : Math.min(count * fragBytes, bytes),
  };
}

function waste({ bytes, usedBytes }: PinnedBlock): number {
  return bytes - Math.max(usedBytes, 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

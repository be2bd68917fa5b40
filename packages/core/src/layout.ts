/*
 * The arena, from its first byte:
 *
 *  +----------------------+  word 0
 *  | meta column          |  one word per netmem index. The header below overlays its first words: the pages with
 *  |                      |  those indices hold this very table, so their descriptors are never used.
 *  +----------------------+
 *  | ppRef column         |  pp_ref_count - 1: a zeroed descriptor is one exclusive holder
 *  | pageRef column       |  page refcount - 1
 *  | link column          |  next index in a free list
 *  | dma column           |  DMA page frame number while in a pool; previous index while in a free list
 *  | info column          |  order, flags, node, area
 *  +----------------------+
 *  | owner records        |  maxOwners of OWNER_WORDS
 *  +----------------------+
 *  | page-allocator words |
 *  +----------------------+
 *  | threads              |  MAX_WORKERS of THREAD_WORDS: inbox, state, name
 *  | common words         |  locks, counters, free lists of the heap
 *  | areas                |  see areas.ts
 *  | type, provider names |  see name-table.ts
 *  +----------------------+  firstPageIdx << pageShift
 *  | packet pages ...     |  index of a page = its byte offset >> pageShift
 *  +----------------------+
 */
import { checkInt, failParam } from "./errors.ts";

/** State bits "free", as in every header word: see {@link packHeader}. */
export const ARENA_MAGIC = 0x6e650001;
export const LAYOUT_VERSION = 4;

export const HDR_MAGIC = 0;
export const HDR_VERSION = 1;
export const HDR_PAGE_SHIFT = 2;
export const HDR_PAGE_COUNT = 3;
export const HDR_MAX_NETMEMS = 4;
export const HDR_MAX_OWNERS = 5;
export const HDR_NODES = 6;
export const HEADER_WORDS = 64;
const HEADER_LOW_BITS = 9;
const HEADER_LOW_MASK = 0x1ff;
const HEADER_HIGH_SHIFT = 12;

/** Keeps the state bits of the meta word that a header word lies on at "free", so that no small integer passes as a live ref. */
export function packHeader(value: number): number {
  return ((value >>> HEADER_LOW_BITS) << HEADER_HIGH_SHIFT) | (value & HEADER_LOW_MASK);
}

export function unpackHeader(word: number): number {
  return ((word >>> HEADER_HIGH_SHIFT) << HEADER_LOW_BITS) | (word & HEADER_LOW_MASK);
}

export const INFO_ORDER_MASK = 0xf;
export const INFO_PFMEMALLOC: number = 1 << 4;
/** Head of a block on one of the page allocator's free lists. */
export const INFO_BUDDY: number = 1 << 5;
export const INFO_NID_SHIFT = 8;
/** Of a page: mean size of the fragments that its block was cut into, in units of 8 bytes; 0 = not known. */
export const INFO_FRAG_SHIFT = 16;
export const INFO_FRAG_MASK = 0x7fff;
/** Of a net_iov: its area. */
export const INFO_AREA_SHIFT = 16;
export const INFO_AREA_MASK = 0xff;

const COLUMN_COUNT = 6;
export const DESCRIPTOR_BYTES: number = COLUMN_COUNT * 4;

/** Ten cache lines: one hot, one that says what it is, eight of stack. */
export const OWNER_WORDS = 160;
export const OWNER_STACK_SIZE = 128;

/* Hot line: written by the owner's thread only. */
export const OWN_COUNT = 0;
/** Pushes are allowed below this count; 0 sends every return to the owner's slow path. */
export const OWN_LIMIT = 1;
/** Allocations from the stack until the counter folds; 0 sends every allocation to the slow path. */
export const OWN_LEFT = 2;
export const OWN_HOLD = 4;
export const OWN_RELEASE = 5;
export const OWN_MEM_ID = 6;
/** Eight words that the owner's type may use. */
export const OWN_PRIVATE = 8;
/* Identity line: other threads read it at every return, so it is written when the owner changes and not otherwise. */
/** Worker id of the owner's thread + 1, 0 for a record that nobody has. */
export const OWN_THREAD = 16;
export const OWN_TYPE = 17;
/** Word offset of what the owner's type keeps in the arena, so that another thread can take over; 0 for nothing. */
export const OWN_STATE_AT = 18;
/** Of a thread's part of an owner with a fixed id: that id; 0 otherwise. */
export const OWN_PART_OF = 19;
/** The owner's name, see arena-text.ts. */
export const OWN_NAME = 20;
export const OWN_NAME_WORDS = 12;
export const OWN_STACK = 32;

/** Words for the page allocator: lock, list heads and counts, per-thread lists. */
export const ALLOCATOR_WORDS = 1024;

/** Threads of a host, its creator included. One bit of a doorbell each. */
export const MAX_WORKERS = 32;
/** Six cache lines: five of inbox (see `inbox-words.ts` of the ring package), one of state. */
export const THREAD_WORDS = 96;
export const THREAD_INBOX = 0;
/** See workers.ts. */
export const THREAD_STATE = 80;
export const THREAD_HOLDER = 81;
/** Reference that the thread is putting on an overflow list, 0 for none. */
export const THREAD_INTENT = 82;
export const THREAD_NAME = 84;
export const THREAD_NAME_WORDS = 12;

/** Words for what a host has once. */
const COMMON_WORDS = 64;
/** Lock of areas, names and channels. */
export const COMMON_LOCK = 0;
/** Id of the next pool. */
export const COMMON_POOL_ID = 1;
/** First channel, see channels. */
export const COMMON_CHANNELS = 2;
/** Lock and free lists of the heap, on lines of their own. */
export const COMMON_HEAP = 16;

/** 255 areas, and none with id 0. */
export const AREA_COUNT = 256;
export const AREA_WORDS = 16;
export const TYPE_NAMES = 256;
export const TYPE_NAME_WORDS = 8;
export const PROVIDER_NAMES = 128;
export const PROVIDER_NAME_WORDS = 16;

const MIN_ARENA_BYTES = 4 * 2 ** 20;
const MAX_ARENA_BYTES = 2 ** 31;
const WASM_PAGE_BYTES = 65536;

export interface ArenaGeometry {
  readonly arenaBytes: number;
  readonly pageShift: number;
  readonly maxNetmems: number;
  readonly maxOwners: number;
  /** Memory nodes, 1 to 8. */
  readonly nodes: number;
}

/** Word offsets of everything that has a fixed place. */
export interface ArenaLayout extends ArenaGeometry {
  readonly pageCount: number;
  readonly ppRefAt: number;
  readonly pageRefAt: number;
  readonly linkAt: number;
  readonly dmaAt: number;
  readonly infoAt: number;
  readonly ownersAt: number;
  readonly allocatorAt: number;
  readonly threadsAt: number;
  readonly commonAt: number;
  readonly areasAt: number;
  readonly typeNamesAt: number;
  readonly providerNamesAt: number;
  readonly firstPageIdx: number;
}

function checkGeometry(g: ArenaGeometry): void {
  checkInt("arenaBytes", g.arenaBytes, MIN_ARENA_BYTES, MAX_ARENA_BYTES);
  checkInt("pageShift", g.pageShift, 12, 16);
  if (g.arenaBytes % WASM_PAGE_BYTES !== 0) {
    failParam("arenaBytes", g.arenaBytes, "a multiple of 65536", "Round it up to the next 64 KiB.");
  }
  const pageCount = g.arenaBytes >>> g.pageShift;
  checkInt("maxNetmems", g.maxNetmems, pageCount, 2 ** 20);
  checkInt("maxOwners", g.maxOwners, 8, 65535);
  checkInt("nodes", g.nodes, 1, 8);
}

/** Places every column and table; throws `ERR_NETMEM_INVALID_PARAM` when the parameters cannot work. */
export function layoutArena(g: ArenaGeometry): ArenaLayout {
  checkGeometry(g);
  // "| 0" keeps every offset a small integer: one that went through a division would be a heap number, in hot loops too.
  const column = (n: number): number => (n * g.maxNetmems) | 0;
  const ownersAt = (column(COLUMN_COUNT) + 15) & ~15;
  const allocatorAt = ownersAt + g.maxOwners * OWNER_WORDS;
  const threadsAt = allocatorAt + ALLOCATOR_WORDS;
  const commonAt = threadsAt + MAX_WORKERS * THREAD_WORDS;
  const areasAt = commonAt + COMMON_WORDS;
  const typeNamesAt = areasAt + AREA_COUNT * AREA_WORDS;
  const providerNamesAt = typeNamesAt + TYPE_NAMES * TYPE_NAME_WORDS;
  const tableBytes = (providerNamesAt + PROVIDER_NAMES * PROVIDER_NAME_WORDS) * 4;
  const pageBytes = 2 ** g.pageShift;
  const firstPageIdx = Math.max(Math.ceil(tableBytes / pageBytes), HEADER_WORDS) | 0;
  const pageCount = (g.arenaBytes / pageBytes) | 0;
  if (firstPageIdx >= pageCount) {
    failParam(
      "maxNetmems",
      g.maxNetmems,
      `a table that leaves room for pages`,
      "Enlarge arenaBytes or lower maxNetmems and maxOwners.",
    );
  }
  return {
    ...g,
    maxNetmems: g.maxNetmems | 0,
    maxOwners: g.maxOwners | 0,
    nodes: g.nodes | 0,
    pageCount,
    ppRefAt: column(1),
    pageRefAt: column(2),
    linkAt: column(3),
    dmaAt: column(4),
    infoAt: column(5),
    ownersAt,
    allocatorAt,
    threadsAt,
    commonAt,
    areasAt,
    typeNamesAt,
    providerNamesAt,
    firstPageIdx,
  };
}

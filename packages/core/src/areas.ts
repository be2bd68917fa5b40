/*
 * A record per area, in the arena, so that every thread finds the bytes of every buffer:
 *
 *   HOLDER  worker id of the thread that added it + 1, 0 for a free record
 *   FIRST, COUNT, SHIFT   its range of the netmem table, log2 of the bytes per buffer
 *   BASE    byte offset of its first buffer + 1, 0 for memory outside the arena
 *   HOOKS   1 when somebody counts references to its buffers
 *   LIFE    changes with every area that has this record
 *   OFFSETS, BYTES   of scattered buffers: where their byte offsets are, bytes of each; else 0
 *   NAME
 */
import { type LockingHost, lockArena, unlockArena } from "./arena-lock.ts";
import { keptText, readText, writeText } from "./arena-text.ts";
import { checkInt, NetmemError } from "./errors.ts";
import { AREA_COUNT, AREA_WORDS, type ArenaLayout, COMMON_LOCK, INFO_AREA_MASK, INFO_AREA_SHIFT } from "./layout.ts";
import { META_GEN_MASK } from "./meta.ts";
import { failWrongThread } from "./misuse.ts";
import { idxOf, makeRef, type NetIovRef, type NetmemRef } from "./netmem-ref.ts";

/** What is told of every `getNetmem` / `putNetmem` on a buffer of an area. */
export interface AreaHooks {
  readonly getRef?: (ref: NetmemRef) => void;
  readonly putRef?: (ref: NetmemRef) => void;
}

/** What somebody must say to get a range of the netmem table for memory that is not an ordinary page. */
export interface NetIovAreaParams extends AreaHooks {
  readonly name: string;
  /** Number of buffers, 1 to maxNetmems. */
  readonly count: number;
  /** log2 of the bytes per buffer. */
  readonly pageShift: number;
  /** Byte offset of the first buffer in the arena; absent for memory outside it, which no accessor can read. */
  readonly baseOffset?: number;
  /** Of a readable area whose buffers do not lie one behind the other, or are no power of two. */
  readonly scattered?: ScatteredBuffers;
}

/** Where the buffers of an area begin when that cannot be calculated. */
export interface ScatteredBuffers {
  /** Word offset of one byte offset per buffer; whoever added the area may change them while a buffer is free. */
  readonly offsetsAt: number;
  /** Bytes of each buffer. */
  readonly bufferBytes: number;
}

/** A range of the netmem table with one kind of backing (kernel: `net_iov_area`). */
export interface NetIovArea extends NetIovAreaParams {
  /** Index of the first buffer's descriptor. */
  readonly firstIdx: number;
  readonly areaId: number;
  readonly readable: boolean;
}

const HOLDER = 0;
const FIRST = 1;
const COUNT = 2;
const SHIFT = 3;
const BASE = 4;
const HOOKS = 5;
const LIFE = 6;
const OFFSETS = 7;
const BYTES = 8;
const NAME = 9;
const NAME_WORDS = AREA_WORDS - NAME;

/** An area as this thread knows it. */
interface KnownArea {
  readonly area: NetIovArea;
  /** Of the record that the object stands for. */
  readonly life: number;
  /** This thread added the area, with hooks of its own. */
  readonly isAdded: boolean;
}

/** What {@link Areas} needs of its host. */
interface AreaHost extends LockingHost {
  readonly layout: ArenaLayout;
}

/** The areas of a host, whichever thread added them. Indices below `pageCount` are pages; areas live above. */
export class Areas {
  private readonly known: (KnownArea | undefined)[] = [];
  /** By {@link hooksKey}. */
  private readonly hooks = new Map<string, AreaHooks>();
  private readonly host: AreaHost;
  private readonly i32: Int32Array;
  private readonly layout: ArenaLayout;
  private readonly base: number;

  constructor(host: AreaHost) {
    this.host = host;
    this.i32 = host.i32;
    this.layout = host.layout;
    this.base = host.layout.areasAt;
  }

  /**
   * Claims `count` consecutive indices.
   * @throws `ERR_NETMEM_TABLE_FULL` (ENOSPC) when the table has no such gap; `ERR_NETMEM_INVALID_PARAM` (EINVAL), also
   * for a readable area that leaves the arena.
   */
  add(params: NetIovAreaParams): NetIovArea {
    checkInt("count", params.count, 1, this.layout.maxNetmems);
    checkInt("pageShift", params.pageShift, 6, 30);
    const bytes = params.count * 2 ** params.pageShift;
    if (params.baseOffset !== undefined) checkInt("baseOffset", params.baseOffset, 0, this.layout.arenaBytes - bytes);
    return this.locked(() => {
      const firstIdx = this.findGap(params.count);
      if (firstIdx === 0)
        failFull("count", params.count, `no ${params.count} free indices in a row`, "Raise maxNetmems");
      const areaId = this.findRecord();
      if (areaId > INFO_AREA_MASK)
        failFull("areaId", areaId, `${INFO_AREA_MASK} areas already`, "Remove or merge areas");
      return this.write({ ...params, firstIdx, areaId, readable: params.baseOffset !== undefined });
    });
  }

  /**
   * Gives the range back; no buffer of it may be anywhere but with its provider.
   * @throws `ERR_NETMEM_AREA_UNKNOWN` (ENOENT) for an area that was removed already: its indices may be another's.
   * `ERR_NETMEM_WRONG_THREAD` for one that another thread added.
   */
  remove(area: NetIovArea): void {
    const { areaId } = area;
    if (this.object(areaId) !== area) failUnknown(area);
    if (this.i32[this.recordAt(areaId) + HOLDER] !== this.host.workerId + 1) failWrongThread("areas.remove");
    this.locked(() => {
      this.tag(area, 0);
      const at = this.recordAt(areaId);
      this.i32[at + LIFE] = (this.i32[at + LIFE]! + 1) | 0;
      this.i32[at + BASE] = 0;
      this.i32[at + HOLDER] = 0;
    });
    this.known[areaId] = undefined;
  }

  /**
   * What this thread calls for buffers of the area of that name when another thread added it: functions do not travel.
   * Without it, `getNetmem` on a buffer of an area whose references are counted is refused on this thread.
   */
  bindHooks(name: string, hooks: AreaHooks): void {
    const key = hooksKey(name.length, keptText(NAME_WORDS, name));
    this.hooks.set(key, hooks);
    for (const [areaId, one] of this.known.entries()) {
      if (one?.isAdded === false && this.hooksKeyOf(areaId) === key) this.known[areaId] = undefined;
    }
  }

  /** The area of an index, null for a page or a free index. */
  of(idx: number): NetIovArea | null {
    return idx < this.layout.pageCount ? null : this.object(this.idOf(idx));
  }

  /** Every area of the host. */
  list(): NetIovArea[] {
    return Array.from({ length: AREA_COUNT }, (_, id) => this.object(id)).filter((area) => area !== null);
  }

  /** Reference of the area's n-th buffer, with its current generation. */
  refAt(area: NetIovArea, n: number): NetIovRef {
    const idx = area.firstIdx + n;
    return makeRef(idx, this.i32[idx]! & META_GEN_MASK, 1) as NetIovRef;
  }

  /** Byte offset of a readable net_iov, -1 when it has none. */
  offsetOf(ref: NetmemRef): number {
    const { i32 } = this;
    const idx = idxOf(ref);
    if (idx < this.layout.pageCount) return -1;
    const at = this.recordAt(this.idOf(idx));
    const base = i32[at + BASE]! - 1;
    if (base < 0) return -1;
    const n = idx - i32[at + FIRST]!;
    const offsetsAt = i32[at + OFFSETS]!;
    return offsetsAt === 0 ? base + (n << i32[at + SHIFT]!) : i32[offsetsAt + n]!;
  }

  /** Areas of a thread that is gone become those of `holderId`. Returns how many. */
  inherit(workerId: number, holderId: number): number {
    const mine = this.list().filter(({ areaId }) => this.i32[this.recordAt(areaId) + HOLDER] === workerId + 1);
    for (const { areaId } of mine) this.i32[this.recordAt(areaId) + HOLDER] = holderId + 1;
    return mine.length;
  }

  private idOf(idx: number): number {
    return (this.i32[this.layout.infoAt + idx]! >>> INFO_AREA_SHIFT) & INFO_AREA_MASK;
  }

  private recordAt(areaId: number): number {
    return this.base + areaId * AREA_WORDS;
  }

  private object(areaId: number): NetIovArea | null {
    const at = this.recordAt(areaId);
    if (areaId === 0 || this.i32[at + HOLDER] === 0) return null;
    const life = this.i32[at + LIFE]!;
    const known = this.known[areaId];
    if (known?.life === life) return known.area;
    const area = this.read(areaId, at);
    this.known[areaId] = { area, life, isAdded: false };
    return area;
  }

  private hooksKeyOf(areaId: number): string {
    const at = this.recordAt(areaId) + NAME;
    return hooksKey(this.i32[at]!, readText(this.i32, at, NAME_WORDS));
  }

  /** An area that another thread added. */
  private read(areaId: number, at: number): NetIovArea {
    const { i32 } = this;
    const name = readText(i32, at + NAME, NAME_WORDS);
    const base = i32[at + BASE]! - 1;
    const offsetsAt = i32[at + OFFSETS]!;
    const unbound = (): never => failUnbound(name);
    const hooks =
      i32[at + HOOKS] === 0 ? {} : (this.hooks.get(this.hooksKeyOf(areaId)) ?? { getRef: unbound, putRef: unbound });
    return {
      name,
      count: i32[at + COUNT]!,
      pageShift: i32[at + SHIFT]!,
      ...(base < 0 ? {} : { baseOffset: base }),
      ...(offsetsAt === 0 ? {} : { scattered: { offsetsAt, bufferBytes: i32[at + BYTES]! } }),
      ...hooks,
      firstIdx: i32[at + FIRST]!,
      areaId,
      readable: base >= 0,
    };
  }

  private write(area: NetIovArea): NetIovArea {
    const { i32 } = this;
    const at = this.recordAt(area.areaId);
    const life = (i32[at + LIFE]! + 1) | 0;
    i32[at + FIRST] = area.firstIdx;
    i32[at + COUNT] = area.count;
    i32[at + SHIFT] = area.pageShift;
    i32[at + BASE] = area.baseOffset === undefined ? 0 : area.baseOffset + 1;
    i32[at + HOOKS] = area.getRef === undefined && area.putRef === undefined ? 0 : 1;
    i32[at + OFFSETS] = area.scattered?.offsetsAt ?? 0;
    i32[at + BYTES] = area.scattered?.bufferBytes ?? 0;
    i32[at + LIFE] = life;
    writeText(i32, at + NAME, NAME_WORDS, area.name);
    i32[at + HOLDER] = this.host.workerId + 1;
    this.known[area.areaId] = { area, life, isAdded: true };
    this.tag(area, area.areaId);
    return area;
  }

  private tag(area: NetIovArea, areaId: number): void {
    for (let n = 0; n < area.count; n++) this.i32[this.layout.infoAt + area.firstIdx + n] = areaId << INFO_AREA_SHIFT;
  }

  private findRecord(): number {
    let id = 1;
    while (id < AREA_COUNT && this.i32[this.recordAt(id) + HOLDER] !== 0) id++;
    return id;
  }

  private findGap(count: number): number {
    const taken = this.list().sort((a, b) => a.firstIdx - b.firstIdx);
    let from = this.layout.pageCount;
    for (const area of taken) {
      if (area.firstIdx - from >= count) return from;
      from = area.firstIdx + area.count;
    }
    return this.layout.maxNetmems - from >= count ? from : 0;
  }

  private locked<Result>(change: () => Result): Result {
    const lockAt = this.layout.commonAt + COMMON_LOCK;
    lockArena(this.host, lockAt);
    try {
      return change();
    } finally {
      unlockArena(this.host, lockAt);
    }
  }
}

/** Names are told apart by their length and by as much of them as a record keeps. */
function hooksKey(length: number, kept: string): string {
  return `${length} ${kept}`;
}

function failFull(param: string, value: number, what: string, remedy: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_TABLE_FULL",
    errno: "ENOSPC",
    reason: `the netmem table has ${what}`,
    remedy: `${remedy}.`,
    param,
    value,
  });
}

function failUnknown(area: NetIovArea): never {
  throw new NetmemError({
    code: "ERR_NETMEM_AREA_UNKNOWN",
    errno: "ENOENT",
    reason: `area ${area.name} is not in the netmem table`,
    remedy: "Remove an area once, on the host that it was added to.",
    param: "area",
    value: area.name,
  });
}

function failUnbound(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_AREA_UNBOUND",
    reason: `references to buffers of area ${name} are counted by the thread that added it, and this thread does not know how`,
    remedy: "Call areas.bindHooks on this thread, or send the buffer to that thread.",
    param: "area",
    value: name,
  });
}

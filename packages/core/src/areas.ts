import { checkInt, NetmemError } from "./errors.ts";
import { INFO_AREA_MASK, INFO_AREA_SHIFT, type ArenaLayout } from "./layout.ts";
import { META_GEN_MASK } from "./meta.ts";
import { failWrongThread } from "./misuse.ts";
import { idxOf, makeRef, type NetIovRef, type NetmemRef } from "./netmem-ref.ts";

/** What somebody must say to get a range of the netmem table for memory that is not an ordinary page. */
export interface NetIovAreaParams {
  readonly name: string;
  /** Number of buffers, 1 to maxNetmems. */
  readonly count: number;
  /** log2 of the bytes per buffer. */
  readonly pageShift: number;
  /** Byte offset of the first buffer in the arena; absent for memory outside it, which no accessor can read. */
  readonly baseOffset?: number;
  /** Called for every `getNetmem` / `putNetmem` on one of its buffers. */
  readonly getRef?: (ref: NetmemRef) => void;
  readonly putRef?: (ref: NetmemRef) => void;
}

/** A range of the netmem table with one kind of backing (kernel: `net_iov_area`). */
export interface NetIovArea extends NetIovAreaParams {
  /** Index of the first buffer's descriptor. */
  readonly firstIdx: number;
  readonly areaId: number;
  readonly readable: boolean;
}

/** The areas of a host. Indices below `pageCount` are pages; areas live above. */
export class Areas {
  private readonly list: (NetIovArea | null)[] = [null];
  private readonly i32: Int32Array;
  private readonly layout: ArenaLayout;
  private readonly attached: 0 | 1;

  constructor(i32: Int32Array, layout: ArenaLayout, attached: 0 | 1) {
    this.i32 = i32;
    this.attached = attached;
    this.layout = layout;
  }

  /**
   * Claims `count` consecutive indices.
   * @throws `ERR_NETMEM_TABLE_FULL` (ENOSPC) when the table has no such gap; `ERR_NETMEM_INVALID_PARAM` (EINVAL), also
   * for a readable area that leaves the arena; `ERR_NETMEM_WRONG_THREAD` on a thread that attached.
   */
  add(params: NetIovAreaParams): NetIovArea {
    if (this.attached !== 0) failWrongThread("areas.add");
    checkInt("count", params.count, 1, this.layout.maxNetmems);
    checkInt("pageShift", params.pageShift, 6, 30);
    const bytes = params.count * 2 ** params.pageShift;
    if (params.baseOffset !== undefined) checkInt("baseOffset", params.baseOffset, 0, this.layout.arenaBytes - bytes);
    const slot = this.list.indexOf(null, 1);
    const areaId = slot > 0 ? slot : this.list.length;
    const firstIdx = this.findGap(params.count);
    if (firstIdx === 0) failFull("count", params.count, `no ${params.count} free indices in a row`, "Raise maxNetmems");
    if (areaId > INFO_AREA_MASK) failFull("areaId", areaId, `${INFO_AREA_MASK} areas already`, "Remove or merge areas");
    const readable = params.baseOffset !== undefined;
    const area: NetIovArea = { ...params, firstIdx, areaId, readable };
    this.list[areaId] = area;
    this.tag(area, areaId);
    return area;
  }

  /**
   * Gives the range back; no buffer of it may be anywhere but with its provider.
   * @throws `ERR_NETMEM_AREA_UNKNOWN` (ENOENT) for an area that was removed already: its indices may be another's.
   */
  remove(area: NetIovArea): void {
    if (this.list[area.areaId] !== area) failUnknown(area);
    this.tag(area, 0);
    this.list[area.areaId] = null;
  }

  /** The area of an index, null for a page or a free index. */
  of(idx: number): NetIovArea | null {
    if (idx < this.layout.pageCount) return null;
    const id = (this.i32[this.layout.infoAt + idx]! >>> INFO_AREA_SHIFT) & INFO_AREA_MASK;
    return this.list[id] ?? null;
  }

  /** Reference of the area's n-th buffer, with its current generation. */
  refAt(area: NetIovArea, n: number): NetIovRef {
    const idx = area.firstIdx + n;
    return makeRef(idx, this.i32[idx]! & META_GEN_MASK, 1) as NetIovRef;
  }

  /** Byte offset of a readable net_iov, -1 when it has none. */
  offsetOf(ref: NetmemRef): number {
    const area = this.of(idxOf(ref));
    if (area === null || area.baseOffset === undefined) return -1;
    return area.baseOffset + ((idxOf(ref) - area.firstIdx) << area.pageShift);
  }

  private tag(area: NetIovArea, areaId: number): void {
    for (let n = 0; n < area.count; n++) this.i32[this.layout.infoAt + area.firstIdx + n] = areaId << INFO_AREA_SHIFT;
  }

  private findGap(count: number): number {
    const taken = this.list.filter((a) => a !== null).sort((a, b) => a.firstIdx - b.firstIdx);
    let from = this.layout.pageCount;
    for (const area of taken) {
      if (area.firstIdx - from >= count) return from;
      from = area.firstIdx + area.count;
    }
    return this.layout.maxNetmems - from >= count ? from : 0;
  }
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

import {
  createHost,
  failReturn,
  type Host,
  idxOf,
  INFO_PFMEMALLOC,
  makePlain,
  markShared,
  MemType,
  META_SHARED,
  META_STATE_MASK,
  NetmemState,
  type NetmemRef,
  type NetIovArea,
  ownerTag,
  type PageRef,
  pageRefCount,
  ppRefCount,
  putNetmem,
  REF_MASK,
  GEN_ONE,
  GEN_MASK,
  GEN_SHIFT,
  unrefNetmem,
  XdpRxqInfo,
} from "@netmem/core";
import { createPageAllocator, createPageShared } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";

export function makeHost(): Host {
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
  });
  createPageShared(host);
  return host;
}

export function makeRxq(memType: number): XdpRxqInfo {
  const rxq = new XdpRxqInfo();
  rxq.ifindex = 7;
  rxq.queueIdx = 3;
  rxq.mem.type = memType;
  return rxq;
}

/** The least that can own buffers: every return goes through `returnSlow`, which notes the order. */
export class NotingOwner {
  readonly memType: number;
  readonly name: string;
  readonly returned: number[] = [];
  readonly released: number[] = [];
  readonly directs: boolean[] = [];
  private readonly host: Host;
  private readonly ownerId: number;
  private readonly log: number[];

  constructor(host: Host, name: string, log: number[] = [], memType: number = MemType.PagePool) {
    this.host = host;
    this.name = name;
    this.memType = memType;
    this.log = log;
    this.ownerId = host.owners.claim(this);
  }

  /** A page that belongs to this owner. */
  allocPage(): PageRef {
    const page = this.host.pages.allocPages(0);
    if (page === 0) throw new Error("the test host is out of pages");
    this.claim(page);
    return page;
  }

  /** Makes a buffer of an area belong to this owner, live. */
  claimIov(area: NetIovArea, n: number): NetmemRef {
    const ref = this.host.areas.refAt(area, n);
    this.claim(ref);
    return ref;
  }

  returnSlow(ref: NetmemRef, allowDirect: boolean): void {
    const { host } = this;
    const idx = idxOf(ref);
    if ((wordAt(host, idx) & META_STATE_MASK) !== NetmemState.Out << 9) failReturn(host, ref, this.ownerId);
    if ((wordAt(host, idx) & META_SHARED) !== 0) {
      if (ppRefCount(host, ref) > 1 && unrefNetmem(host, ref, 1) > 0) return;
      if (pageRefCount(host, ref) > 1) return this.release(ref);
    }
    const next = (ref + GEN_ONE) & REF_MASK;
    host.i32[idx] = ownerTag(this.ownerId, NetmemState.Pooled) | (next >>> GEN_SHIFT);
    this.returned.push(ref);
    this.directs.push(allowDirect);
    this.log.push(ref);
  }

  /** Others hold page references: the page leaves the pool (kernel: `released_refcnt`). */
  private release(ref: NetmemRef): void {
    this.released.push(ref);
    makePlain(this.host, ref);
    putNetmem(this.host, ref);
  }

  private claim(ref: NetmemRef): void {
    const idx = idxOf(ref);
    this.host.i32[idx] = ownerTag(this.ownerId, NetmemState.Out) | (wordAt(this.host, idx) & GEN_MASK);
  }
}

/** An arena word, 0 outside. */
export function wordAt(host: Host, at: number): number {
  return host.i32[at] ?? 0;
}

/** Marks a page as taken from the emergency reserve, as its allocator would. */
export function markReserve(host: Host, ref: NetmemRef): void {
  markShared(host, ref);
  host.i32[host.infoAt + idxOf(ref)] = INFO_PFMEMALLOC;
}

/** `ref` with `n` pool-level holders. */
export function withHolders(host: Host, ref: NetmemRef, n: number): NetmemRef {
  markShared(host, ref);
  host.i32[host.ppRefAt + idxOf(ref)] = n - 1;
  return ref;
}

/** Asserts that `fn` throws the coded error and returns it. */
export function expectCode(fn: () => unknown, code: string): { errno?: string; message: string } {
  let thrown: unknown = null;
  try {
    fn();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code });
  return thrown as { errno?: string; message: string };
}

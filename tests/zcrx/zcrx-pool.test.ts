import {
  createHost,
  DmaDir,
  type Host,
  type NetmemRef,
  type NetmemWarning,
  ppRefCount,
  refNetmem,
  returnNetmem,
} from "@netmem/core";
import { createIommuDevice, withBalance } from "@netmem/dma";
import { createPageAllocator } from "@netmem/mm";
import {
  checkPoolInvariants,
  createPagePool,
  type PagePool,
  PagePoolFlag,
  type PagePoolParams,
} from "@netmem/page-pool";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { addSkbFrag, allocSkb, cloneSkb, consumeSkb, markForRecycle, SkbSlab, SkbView } from "@netmem/skb";
import { runSuite, VirtualClock } from "@netmem/testing";
import { type Zcrx, ZcrxRegistry, ZcrxResult, ZcrxUser } from "@netmem/zcrx";
import { describe, expect, test } from "vitest";

const PAGE = 4096;

interface World {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly slab: SkbSlab;
  readonly zcrx: Zcrx;
  readonly mapped: () => number;
  readonly failures: { count: number };
  readonly pool: (params?: PagePoolParams) => PagePool;
  /** A packet with a page-pool fragment per buffer. */
  readonly packet: (refs: readonly NetmemRef[]) => number;
}

function makeWorld(order = 7, bufferBytes = PAGE): World {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  let mapped = (): number => 0;
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
    dma: (made) => {
      const iommu = createIommuDevice(made);
      mapped = () => iommu.stats().mapped;
      return withBalance(iommu);
    },
  });
  const slab = new SkbSlab(host);
  const packets = { view: new SkbView(slab), consume: (skb: number) => consumeSkb(slab, skb as never) };
  const area = { offset: host.offsetOf(host.pages.allocPages(order) as never), bytes: PAGE << order };
  const failures = { count: 0 };
  const onAllocFail = (): void => void failures.count++;
  const zcrx = new ZcrxRegistry(host).register({ area, bufferBytes, refillEntries: 256, packets, onAllocFail });
  const pool: World["pool"] = (params = {}) =>
    createPagePool(host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: PAGE,
      dmaDir: DmaDir.FromDevice,
      rxq: { ifindex: 1, queueIdx: 0, provider: zcrx.provider },
      ...params,
    });
  const packet: World["packet"] = (refs) => {
    const skb = allocSkb(slab, 256, 0) as number;
    for (const ref of refs) addSkbFrag(slab, skb as never, ref, 16, 100, PAGE);
    markForRecycle(slab, skb as never);
    return skb;
  };
  return { host, clock, warnings, slab, zcrx, mapped, failures, pool, packet };
}

function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing";
}

function take(pool: PagePool, count: number): NetmemRef[] {
  return Array.from({ length: count }, () => pool.allocNetmem() as NetmemRef);
}

describe("as a provider", () => {
  const makeSubject = (): ProviderSubject => {
    const { host, clock, zcrx, mapped } = makeWorld();
    return {
      host,
      provider: zcrx.provider,
      capacity: 128,
      mapsBuffers: true,
      params: { dmaDir: DmaDir.FromDevice },
      refused: [
        { params: { order: 1, dmaDir: DmaDir.FromDevice }, code: "ERR_NETMEM_ZCRX_POOL" },
        { params: { dmaDir: DmaDir.Bidirectional }, code: "ERR_NETMEM_ZCRX_DMA" },
      ],
      passTime: (ms) => clock.advance(ms),
      holdings: () => ({ free: zcrx.stats().freeBuffers, mapped: mapped() }),
    };
  };
  runSuite(providerSuite, makeSubject, test);

  test("#190 wrong order: EINVAL; BIDIRECTIONAL, or no DMA_MAP: EOPNOTSUPP", () => {
    const { pool } = makeWorld();
    const errno = (params: PagePoolParams): unknown => {
      try {
        pool(params);
      } catch (error) {
        return (error as { errno: string }).errno;
      }
      return null;
    };
    expect(errno({ order: 1 })).toBe("EINVAL");
    expect(errno({ dmaDir: DmaDir.Bidirectional })).toBe("EOPNOTSUPP");
    expect(errno({ flags: PagePoolFlag.AllowUnreadableNetmem })).toBe("EOPNOTSUPP");
    expect(errno({})).toBe(null);
  });

  test("buffers of several pages want a pool of that order", () => {
    const { pool, host } = makeWorld(7, 4 * PAGE);
    expect(codeOf(() => pool())).toBe("ERR_NETMEM_ZCRX_POOL");
    const big = pool({ order: 2 });
    const ref = big.allocNetmem() as NetmemRef;
    expect([host.isReadable(ref), host.bufferBytes(ref), host.offsetOf(ref as never) % (4 * PAGE)]).toEqual([
      true,
      4 * PAGE,
      0,
    ]);
  });

  test("#191 the first allocation takes 64 of 100 off the free list, the second round 36", () => {
    const { pool, zcrx } = makeWorld();
    const others = pool();
    for (let n = 0; n < 28; n++) others.allocNetmem();
    const left = zcrx.stats().freeBuffers;
    const one = pool();
    one.allocNetmem();
    expect([one.inflight(), one.getStats().alloc.empty, left - zcrx.stats().freeBuffers]).toEqual([64, 1, 64]);
    take(one, 63);
    one.allocNetmem();
    expect(zcrx.stats().freeBuffers).toBe(0);
    checkPoolInvariants(one);
  });

  test("an allocation that finds nothing is told once, until armed again", () => {
    const { pool, zcrx, failures } = makeWorld(3);
    const one = pool();
    take(one, 8);
    expect([one.allocNetmem(), one.allocNetmem(), failures.count]).toEqual([0, 0, 1]);
    zcrx.armEvent();
    one.allocNetmem();
    expect([failures.count, zcrx.stats().allocFailed]).toEqual([2, 3]);
  });
});

describe("delivery and refill", () => {
  test("a fragment in the area is handed over where it lies, with a reference of the user", () => {
    const { host, pool, packet, zcrx } = makeWorld();
    const one = pool();
    const refs = take(one, 2);
    const user = new ZcrxUser(host, zcrx);
    expect(zcrx.deliver(packet(refs))).toBe(ZcrxResult.Delivered);
    expect(refs.map((ref) => ppRefCount(host, ref))).toEqual([1, 1]);
    expect([user.next(), user.length, zcrx.area.offset + user.offset]).toEqual([
      true,
      100,
      host.offsetOf(refs[0] as never) + 16,
    ]);
    expect([zcrx.userRefs(), zcrx.stats().zeroCopy, one.inflight()]).toEqual([2, 2, 64]);
  });

  test("what the user gives back goes into the cache at the next refill, and hold does not change", () => {
    const { host, pool, packet, zcrx } = makeWorld(3);
    const one = pool();
    const user = new ZcrxUser(host, zcrx);
    const refs = take(one, 8);
    zcrx.deliver(packet(refs));
    for (let n = 0; n < 5; n++) {
      user.next();
      user.giveBack();
    }
    expect(one.allocNetmem()).toBe(0);
    user.flush();
    const again = one.allocNetmem() as NetmemRef;
    expect(again).not.toBe(0);
    expect(refs.includes(again)).toBe(false);
    expect([one.inflight(), zcrx.userRefs(), zcrx.stats().returned]).toEqual([8, 3, 5]);
    checkPoolInvariants(one);
    expect(codeOf(() => returnNetmem(host, refs[0]!))).not.toBe("nothing");
    expect(take(one, 4).every((ref) => ref !== 0)).toBe(true);
    expect(one.allocNetmem()).toBe(0);
  });

  test("#197 a refill ring of bad entries falls through to the free list", () => {
    const { host, pool, zcrx } = makeWorld();
    const user = new ZcrxUser(host, zcrx);
    for (let n = 0; n < 10; n++) user.giveBack(n * PAGE, 10);
    user.flush();
    const one = pool();
    expect(one.allocNetmem()).not.toBe(0);
    expect([one.inflight(), zcrx.stats().unheld]).toEqual([64, 10]);
  });

  test("a buffer that the stack still holds is not reused, though the user gave it back", () => {
    const { host, pool, packet, zcrx, slab } = makeWorld(3);
    const one = pool();
    const user = new ZcrxUser(host, zcrx);
    const refs = take(one, 8);
    const skb = packet(refs.slice(0, 1));
    // A clone stays in the stack while the packet is delivered.
    const clone = cloneSkb(slab, skb as never);
    zcrx.deliver(skb);
    user.next();
    user.giveBack();
    user.flush();
    expect([one.allocNetmem(), zcrx.userRefs()]).toEqual([0, 0]);
    consumeSkb(slab, clone as never);
    expect(one.allocNetmem()).not.toBe(0);
  });

  test("#196 a buffer of an older pool goes back to that pool", () => {
    const { host, clock, pool, packet, zcrx } = makeWorld(3);
    const old = pool();
    const user = new ZcrxUser(host, zcrx);
    zcrx.deliver(packet(take(old, 8)));
    old.destroy();
    const next = pool();
    user.next();
    user.giveBack();
    user.flush();
    // In the ring of the old pool, until that one looks again.
    expect([next.allocNetmem(), old.inflight()]).toEqual([0, 8]);
    clock.advance(1000);
    expect(next.allocNetmem()).not.toBe(0);
    expect([old.inflight(), next.inflight()]).toEqual([7, 1]);
  });

  test("#199 unregister with 5 buffers held, one twice: all returned, the pool drains", async () => {
    const { host, clock, pool, packet, zcrx, mapped } = makeWorld(3);
    const one = pool();
    const refs = take(one, 5);
    zcrx.deliver(packet(refs));
    // A copy of the first page's packet, as a tap would make it, delivered too.
    refNetmem(host, refs[0]!);
    zcrx.deliver(packet([refs[0]!]));
    expect(zcrx.userRefs()).toBe(6);
    one.destroy();
    zcrx.unregister();
    clock.advance(3000);
    await zcrx.freed();
    expect([one.freed, mapped(), host.areas.list().length]).toEqual([true, 0, 0]);
  });

  test("#200 unreadable memory of others: EFAULT, and the packet stays", () => {
    const { host, slab, zcrx } = makeWorld();
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    const skb = allocSkb(slab, 64, 0) as number;
    addSkbFrag(slab, skb as never, host.areas.refAt(area, 0), 0, 10, PAGE);
    expect(zcrx.deliver(skb)).toBe(ZcrxResult.Fault);
    expect(slab.liveCount).toBe(1);
  });
});

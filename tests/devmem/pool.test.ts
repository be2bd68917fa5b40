import {
  createHost,
  type Host,
  isPage,
  type NetmemRef,
  type NetmemWarning,
  ppRefCount,
  putNetmem,
  refNetmem,
} from "@netmem/core";
import { createDevmem, createHostMemory, type Devmem, type DevmemBinding, TX_FRAG_WORDS } from "@netmem/devmem";
import { createPageAllocator } from "@netmem/mm";
import {
  checkPoolInvariants,
  createPagePool,
  type PagePool,
  PagePoolFlag,
  type PagePoolParams,
} from "@netmem/page-pool";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { addSkbFrag, allocSkb, consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { runSuite, VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";

const PAGE = 4096;

interface World {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly devmem: Devmem;
  readonly binding: DevmemBinding;
  readonly pool: (params?: PagePoolParams) => PagePool;
}

function makeWorld(pages = 256): World {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
  });
  const devmem = createDevmem(host);
  const device = { ifindex: 1, queues: { length: 1 }, openRxqProvider: () => {}, closeRxqProvider: () => {} };
  const memory = createHostMemory({ sizeBytes: pages * PAGE });
  const binding = devmem.bindRx({ device, queues: [0], memory, ports: { open: () => 1 << 29 } });
  const pool: World["pool"] = (params = {}) =>
    createPagePool(host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: PAGE,
      directRecycle: "napi",
      rxq: { ifindex: 1, queueIdx: 0, provider: binding.provider },
      ...params,
    });
  return { host, clock, warnings, devmem, binding, pool };
}

describe("devmem as a provider", () => {
  const makeSubject = (): ProviderSubject => {
    const { host, clock, binding } = makeWorld();
    return {
      host,
      provider: binding.provider,
      capacity: 256,
      mapsBuffers: true,
      refused: [{ params: { order: 1 }, code: "ERR_NETMEM_DEVMEM_ORDER" }],
      passTime: (ms) => clock.advance(ms),
      holdings: () => ({ free: binding.stats().freePages, refs: binding.stats().refs }),
    };
  };
  runSuite(providerSuite, makeSubject, test);

  test("#169 a direct put and an allocation: the same page, and the binding is not asked", () => {
    const { pool, binding } = makeWorld();
    const one = pool();
    const ref = one.allocNetmem() as NetmemRef;
    const free = binding.stats().freePages;
    const before = one.getStats();
    one.put(ref, -1, true);
    const again = one.allocNetmem() as NetmemRef;
    expect((again >>> 1) & 0xfffff).toBe((ref >>> 1) & 0xfffff);
    const { alloc, recycle } = one.getStats();
    expect([alloc.fast - before.alloc.fast, recycle.cached - before.recycle.cached]).toEqual([1, 1]);
    expect(binding.stats().freePages).toBe(free);
  });

  test("#170 a put from elsewhere goes to the ring; the page is free for others when the ring is full, or at the end", () => {
    const { clock, pool, binding } = makeWorld(64);
    const one = pool({ poolSize: 2 });
    const refs = Array.from({ length: 64 }, () => one.allocNetmem() as NetmemRef);
    one.put(refs[0]!, -1, false);
    one.put(refs[1]!, -1, false);
    expect(binding.stats().freePages).toBe(0);
    one.put(refs[2]!, -1, false);
    expect([binding.stats().freePages, one.getStats().recycle.ringFull]).toEqual([1, 1]);
    for (const ref of refs.slice(3)) one.put(ref, -1, false);
    one.destroy();
    clock.advance(1000);
    expect(binding.stats()).toMatchObject({ freePages: 64, refs: 1 });
  });

  test("a pool without AllowUnreadableNetmem on the same queue has ordinary pages", () => {
    const { pool, binding } = makeWorld();
    const headers = pool({ flags: 0 });
    expect(isPage(headers.allocNetmem() as NetmemRef)).toBe(true);
    expect(binding.stats().refs).toBe(1);
    checkPoolInvariants(headers);
  });

  test("fragments of a page and holders beside them: it goes back with the last one", () => {
    const { host, pool, binding } = makeWorld(64);
    const one = pool({ poolSize: 1 });
    const ref = one.allocNetmem() as NetmemRef;
    one.fragmentNetmem(ref, 3);
    refNetmem(host, ref);
    expect(ppRefCount(host, ref)).toBe(4);
    for (let n = 0; n < 4; n++) one.put(ref, -1, false);
    expect(() => one.put(ref, -1, false)).toThrow("ERR_NETMEM_DOUBLE_PUT");
    one.destroy();
    expect(binding.stats().freePages).toBe(64);
  });
});

describe("skbs of transmit memory", () => {
  test("hold it by page references, without the ppRecycle bit, and may be sent where it is bound", () => {
    const { host, devmem } = makeWorld();
    const slab = new SkbSlab(host);
    const tx = devmem.bindTx({ device: { ifindex: 3 }, memory: createHostMemory({ sizeBytes: 8 * PAGE }) });
    const frags = new Int32Array(4 * TX_FRAG_WORDS);
    const count = tx.takeFrags(100, 9000, frags);
    const skb = allocSkb(slab, 128, 0);
    if (skb === 0) throw new Error("no skb");
    for (let n = 0; n < count; n++) {
      const [ref, offset, len] = frags.subarray(n * TX_FRAG_WORDS) as unknown as [NetmemRef, number, number];
      addSkbFrag(slab, skb, ref, offset, len, PAGE);
    }
    const view = new SkbView(slab).of(skb);
    expect([view.unreadable, view.ppRecycle, view.dataLen, tx.refCount]).toEqual([true, false, 9000, 4]);
    expect(devmem.mayTransmit({ ifindex: 3, netmemTx: true }, view, skb)).toBe(true);
    expect(devmem.mayTransmit({ ifindex: 4, netmemTx: true }, view, skb)).toBe(false);
    expect(devmem.mayTransmit({ ifindex: 3 }, view, skb)).toBe(false);
    devmem.unbind(tx);
    expect(tx.isFreed).toBe(false);
    consumeSkb(slab, skb);
    expect([tx.isFreed, slab.liveCount]).toEqual([true, 0]);
    expect(() => putNetmem(host, frags[0] as NetmemRef)).toThrow("ERR_NETMEM");
  });
});

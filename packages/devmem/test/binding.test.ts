import { getNetmem, type NetmemRef, type PacketView, type PoolHandle, putNetmem, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { createDevmem, createDevmemAllocator, createHostMemory } from "../src/index.ts";
import { makeWorld, PAGE, type World } from "./fixture.ts";

/** What a page pool would be to the provider. */
function poolOf({ host }: World, order = 0): PoolHandle {
  const dma = { dmaDir: 2, dmaMap: true, dmaSync: true, dmaSyncCpu: true } as const;
  return { host, id: 1, ownerId: 9, order, nid: -1, rxq: null, ...dma };
}

function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing";
}

describe("bindRx", () => {
  test("gives queues their provider, and takes it away", async () => {
    const { devmem, device, memory } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [2, 0], memory });
    expect([binding.id, binding.queues]).toEqual([1, [0, 2]]);
    expect(device.providers).toEqual([binding.provider, null, binding.provider, null]);
    expect(devmem.list()).toEqual([binding]);
    devmem.unbind(binding);
    expect(device.providers).toEqual([null, null, null, null]);
    expect([devmem.list().length, binding.isFreed]).toEqual([0, true]);
    await binding.freed();
    devmem.unbind(binding);
  });

  test("#178 no queues, one that is not there, one named twice: EINVAL; no device: ENODEV", () => {
    const { devmem, device, memory, host } = makeWorld();
    for (const queues of [[], [4], [-1], [1.5], [1, 1]]) {
      expect(codeOf(() => devmem.bindRx({ device, queues, memory }))).toBe("ERR_NETMEM_DEVMEM_QUEUES");
    }
    expect(codeOf(() => devmem.bindRx({ device: null, queues: [0], memory }))).toBe("ERR_NETMEM_NO_DEVICE");
    expect(codeOf(() => devmem.bindTx({ device: null, memory }))).toBe("ERR_NETMEM_NO_DEVICE");
    expect([host.areas.list().length, devmem.bindRx({ device, queues: [0], memory }).id]).toEqual([0, 1]);
  });

  test("a region that is not made of pages of the memory, each once: EINVAL", () => {
    const { devmem, device, memory, host } = makeWorld(16);
    const bad = [
      [{ offset: 0, bytes: 100 }],
      [{ offset: 100, bytes: PAGE }],
      [{ offset: 0, bytes: 17 * PAGE }],
      [{ offset: -PAGE, bytes: PAGE }],
      [{ offset: 0, bytes: 0 }],
      [
        { offset: 0, bytes: 2 * PAGE },
        { offset: PAGE, bytes: PAGE },
      ],
    ];
    for (const regions of bad) {
      expect(codeOf(() => devmem.bindRx({ device, queues: [0], memory, regions }))).toBe("ERR_NETMEM_DEVMEM_REGION");
    }
    expect(codeOf(() => devmem.bindRx({ device, queues: [0], memory, regions: [] }))).toBe("ERR_NETMEM_INVALID_PARAM");
    expect(host.areas.list().length).toBe(0);
  });

  test("a queue that does not restart unbinds those before it, and leaves nothing behind", () => {
    const { devmem, device, memory, host } = makeWorld();
    device.brokenQueue = 2;
    expect(() => devmem.bindRx({ device, queues: [0, 1, 2, 3], memory })).toThrow("did not restart");
    expect([device.providers.every((one) => one === null), devmem.list().length, host.areas.list().length]).toEqual([
      true,
      0,
      0,
    ]);
    device.brokenQueue = -1;
    expect(devmem.bindRx({ device, queues: [2], memory }).stats()).toMatchObject({
      pages: 256,
      freePages: 256,
      refs: 1,
    });
  });

  test("a table without room for the pages: ENOSPC, and the provider is there for the next binding", () => {
    const { devmem, device, host } = makeWorld();
    const big = createHostMemory({ sizeBytes: 3000 * PAGE });
    expect(codeOf(() => devmem.bindRx({ device, queues: [0], memory: big }))).toBe("ERR_NETMEM_TABLE_FULL");
    const memory = createHostMemory({ sizeBytes: PAGE });
    for (let n = 0; n < 300; n++) devmem.unbind(devmem.bindRx({ device, queues: [0], memory }));
    expect([devmem.list().length, host.areas.list().length]).toEqual([0, 0]);
  });

  test("an engine that takes no port: nothing is left behind, and the provider is there for the next binding", () => {
    const { devmem, device, memory, host } = makeWorld();
    const ports = {
      open: (): number => {
        throw new Error("no port");
      },
    };
    for (let n = 0; n < 200; n++) {
      expect(() => devmem.bindRx({ device, queues: [0], memory, ports })).toThrow("no port");
    }
    expect([host.areas.list().length, devmem.list().length]).toEqual([0, 0]);
    expect(devmem.bindRx({ device, queues: [0], memory }).stats().freePages).toBe(256);
  });

  test("a binding that failed has no id, though buffers of its first queue keep its memory", () => {
    const world = makeWorld();
    const { devmem, device, memory, host } = world;
    const out = new Int32Array(1);
    const pool = poolOf(world);
    device.openRxqProvider = (queueIdx, provider) => {
      if (queueIdx === 1) throw new Error("did not restart");
      provider.init(pool);
      provider.allocNetmems(pool, out, 1);
      device.providers[queueIdx] = provider;
    };
    expect(() => devmem.bindRx({ device, queues: [0, 1], memory })).toThrow("did not restart");
    expect([devmem.list().length, device.providers[0], host.areas.list().length]).toEqual([0, null, 1]);
    const binding = devmem.bindingOf(out[0]! as NetmemRef)!;
    binding.provider.releaseNetmem(pool, out[0]! as NetmemRef);
    binding.provider.destroy(pool);
    expect([binding.isFreed, host.areas.list().length]).toEqual([true, 0]);
  });

  test("queues of different DMA engines, or of none: EOPNOTSUPP", () => {
    const { devmem, device, memory } = makeWorld();
    const engines = [{ open: () => 5 }, { open: () => 5 }];
    const bind = (ports: (queueIdx: number) => { open(): number } | null): string =>
      codeOf(() => devmem.bindRx({ device, queues: [0, 1], memory, ports }));
    expect(bind((queueIdx) => engines[queueIdx]!)).toBe("ERR_NETMEM_DEVMEM_DMA");
    expect(bind(() => null)).toBe("ERR_NETMEM_DEVMEM_DMA");
    expect(bind(() => engines[0]!)).toBe("nothing");
  });

  test("pages get addresses of the port, through all regions, and lose them", () => {
    const { devmem, device, memory, host } = makeWorld(16);
    const closed: number[] = [];
    const ports = { open: () => 1000, close: (firstPfn: number) => void closed.push(firstPfn) };
    const regions = [
      { offset: 8 * PAGE, bytes: 2 * PAGE },
      { offset: 0, bytes: 3 * PAGE },
    ];
    const binding = devmem.bindRx({ device, queues: [0], memory, regions, ports });
    const refs = new Int32Array(8);
    const allocator = createDevmemAllocator(host, binding);
    expect(allocator.allocBulk(refs, 8)).toBe(5);
    const dma = [...refs.subarray(0, 5)].map((ref) => host.i32[host.dmaAt + ((ref >>> 1) & 0xfffff)]);
    expect(dma).toEqual([1000, 1001, 1002, 1003, 1004]);
    expect([...refs.subarray(0, 5)].map((ref) => binding.pages.pageOf(ref as NetmemRef))).toEqual([8, 9, 0, 1, 2]);
    for (const ref of refs.subarray(0, 5)) returnNetmem(host, ref as NetmemRef);
    allocator.destroy();
    devmem.unbind(binding);
    expect([closed, host.i32[host.dmaAt + ((refs[0]! >>> 1) & 0xfffff)]]).toEqual([[1000], 0]);
  });

  test("#176 a session unbinds what it bound, and nothing else", () => {
    const { devmem, device, memory } = makeWorld();
    const session = devmem.openSession();
    const mine = session.bindRx({ device, queues: [0], memory });
    session.bindTx({ device, memory });
    const other = devmem.bindRx({ device, queues: [1], memory });
    session.close();
    session.close();
    expect([devmem.list(), mine.isFreed, device.providers[1]]).toEqual([[other], true, other.provider]);
  });

  test("the device goes away: queues are forgotten, and unbinding asks it nothing", () => {
    const { devmem, device, memory } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0, 1], memory });
    for (const queueIdx of [0, 1]) binding.provider.uninstall({ ifindex: 7, queueIdx, provider: binding.provider });
    device.providers.fill(null);
    devmem.unbind(binding);
    expect(binding.isFreed).toBe(true);
  });

  test("a queue that does not restart with pages is named, and the binding ends", () => {
    const { devmem, device, memory, warnings } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0, 1], memory });
    device.providers[0] = null;
    devmem.unbind(binding);
    expect(warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_DEVMEM_UNBIND"]);
    expect([device.providers[1], binding.isFreed]).toEqual([null, true]);
  });
});

describe("references", () => {
  test("a pool keeps the binding after its user has gone", () => {
    const world = makeWorld();
    const { devmem, device, memory } = world;
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const { provider } = binding;
    const pool = poolOf(world);
    provider.init(pool);
    expect([pool.dmaSync, pool.dmaSyncCpu, binding.stats().refs]).toEqual([false, false, 2]);
    devmem.unbind(binding);
    expect(binding.isFreed).toBe(false);
    provider.destroy(pool);
    expect(binding.isFreed).toBe(true);
  });

  test("#154 getNetmem on a page counts for the binding, and one put too many is refused", () => {
    const { devmem, device, memory, host } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const allocator = createDevmemAllocator(host, binding);
    const ref = allocator.allocNetmem() as NetmemRef;
    getNetmem(host, ref);
    expect(binding.stats().refs).toBe(3);
    putNetmem(host, ref);
    expect(codeOf(() => putNetmem(host, ref))).toBe("ERR_NETMEM_DOUBLE_PUT");
    expect(binding.stats().refs).toBe(2);
    returnNetmem(host, ref);
    allocator.destroy();
    devmem.unbind(binding);
    expect(binding.isFreed).toBe(true);
  });

  test("#172 order 1: E2BIG; no binding: EINVAL", () => {
    const world = makeWorld();
    const binding = world.devmem.bindRx({ device: world.device, queues: [0], memory: world.memory });
    const { provider } = binding;
    expect(codeOf(() => provider.init(poolOf(world, 1)))).toBe("ERR_NETMEM_DEVMEM_ORDER");
    world.devmem.unbind(binding);
    expect(codeOf(() => provider.init(poolOf(world)))).toBe("ERR_NETMEM_NO_BINDING");
  });

  test("#173 a release with a holder left, of a page that is free, or of others' memory: a warning, and not taken", () => {
    const world = makeWorld();
    const { devmem, device, memory, host, warnings } = world;
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const pool = poolOf(world);
    const out = new Int32Array(2);
    binding.provider.init(pool);
    binding.provider.allocNetmems(pool, out, 2);
    const [a, b] = [...out] as NetmemRef[];
    const at = host.ppRefAt + ((a! >>> 1) & 0xfffff);
    host.i32[at] = 1;
    expect(binding.provider.releaseNetmem(pool, a!)).toBe(false);
    host.i32[at] = 0;
    expect(binding.stats().freePages).toBe(254);
    expect(binding.provider.releaseNetmem(pool, b!)).toBe(false);
    expect(binding.stats().freePages).toBe(255);
    binding.provider.releaseNetmem(pool, b!);
    binding.provider.releaseNetmem(pool, host.pages.allocPages(0) as never);
    expect(warnings.map(({ code }) => code)).toEqual(Array.from({ length: 3 }, () => "WARN_NETMEM_DEVMEM_RELEASE"));
    // The page that was not taken back is missing at the end; its descriptor is left behind.
    binding.provider.destroy(pool);
    devmem.unbind(binding);
    expect(warnings.at(-1)?.code).toBe("WARN_NETMEM_DEVMEM_LEAK");
    expect([binding.isFreed, host.areas.list().length]).toEqual([true, 1]);
  });
});

describe("allocator", () => {
  test("takes batches from the binding and gives them back", () => {
    const { devmem, device, memory, host } = makeWorld(256);
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const allocator = createDevmemAllocator(host, binding);
    const refs = new Int32Array(300);
    expect(allocator.allocBulk(refs, 300)).toBe(256);
    expect([allocator.allocNetmem(), allocator.inflight(), binding.stats().freePages]).toEqual([0, 256, 0]);
    for (const ref of refs.subarray(0, 256)) allocator.put(ref as NetmemRef, -1, true);
    expect(allocator.stats()).toMatchObject({ out: 0, cached: 128, refills: 4, spills: 2, exhausted: 1 });
    expect(binding.stats().freePages).toBe(128);
  });

  test("misuse throws and changes nothing", () => {
    const { devmem, device, memory, host } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const a = createDevmemAllocator(host, binding);
    const b = createDevmemAllocator(host, binding);
    const ref = a.allocNetmem() as NetmemRef;
    expect(codeOf(() => b.put(ref, -1, true))).toBe("ERR_NETMEM_FOREIGN_PUT");
    a.put(ref, -1, true);
    expect(codeOf(() => a.put(ref, -1, true))).toBe("ERR_NETMEM_DOUBLE_PUT");
    expect(codeOf(() => returnNetmem(host, ref))).toBe("ERR_NETMEM_DOUBLE_PUT");
    expect([a.inflight(), b.inflight()]).toEqual([0, 0]);
  });

  test("destroyed with buffers outside, it ends with the last one", () => {
    const { devmem, device, memory, host } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const allocator = createDevmemAllocator(host, binding);
    const refs = [allocator.allocNetmem(), allocator.allocNetmem()] as NetmemRef[];
    let isGone = false;
    allocator.useMem(1, () => (isGone = true));
    allocator.destroy();
    allocator.destroy();
    devmem.unbind(binding);
    expect([allocator.allocNetmem(), binding.stats().freePages]).toEqual([0, 254]);
    returnNetmem(host, refs[0]!);
    expect([isGone, binding.isFreed]).toEqual([false, false]);
    allocator.put(refs[1]!, -1, true);
    expect([isGone, binding.isFreed, host.areas.list().length]).toEqual([true, true, 0]);
    expect(codeOf(() => returnNetmem(host, refs[1]!))).not.toBe("nothing");
  });

  test("an allocator that is gone touches nothing of whoever got its number", () => {
    const { devmem, device, memory, host } = makeWorld();
    const binding = devmem.bindRx({ device, queues: [0], memory });
    const gone = createDevmemAllocator(host, binding);
    const page = gone.allocNetmem() as NetmemRef;
    gone.put(page, -1, true);
    gone.destroy();
    let next = createDevmemAllocator(host, binding);
    // Numbers are given out in turn.
    while (next.ownerId !== gone.ownerId) {
      next.destroy();
      next = createDevmemAllocator(host, binding);
    }
    next.put(next.allocNetmem() as NetmemRef, -1, true);
    const mine = next.allocNetmem() as NetmemRef;
    expect([gone.allocNetmem(), gone.allocBulk(new Int32Array(4), 4), gone.inflight()]).toEqual([0, 0, 0]);
    expect(codeOf(() => gone.put(mine, -1, true))).toBe("ERR_NETMEM_FOREIGN_PUT");
    expect(next.stats()).toMatchObject({ cached: 63, out: 1 });
  });

  test("an allocator over a binding that is gone: EINVAL, and the next binding is left alone", () => {
    const { devmem, device, memory, host } = makeWorld();
    const gone = devmem.bindRx({ device, queues: [0], memory });
    devmem.unbind(gone);
    const next = devmem.bindRx({ device, queues: [0], memory });
    expect(codeOf(() => createDevmemAllocator(host, gone))).toBe("ERR_NETMEM_UNBOUND");
    expect([next.provider.binding, gone.stats().refs]).toEqual([next, 0]);
  });
});

/** A packet of fragments `refs[0]`, with one more packet in its fragment list for each further array. */
function viewOf(refs: readonly (readonly number[])[]): PacketView {
  let segment = 1;
  const view: PacketView = {
    of: (packet) => {
      segment = packet;
      return view;
    },
    headLen: 0,
    data: 0,
    unreadable: true,
    get nrFrags() {
      return refs[segment - 1]!.length;
    },
    get fragList() {
      return segment === 1 && refs.length > 1 ? 2 : 0;
    },
    get next() {
      return segment < refs.length ? segment + 1 : 0;
    },
    fragRef: (n) => refs[segment - 1]![n]!,
    fragOffset: () => 0,
    fragLen: () => 1,
  };
  return view;
}

describe("transmit bindings", () => {
  function makeTx() {
    const world = makeWorld(4);
    return { ...world, tx: world.devmem.bindTx({ device: world.device, memory: world.memory }) };
  }

  test("#187 unknown id, a receive binding, another device, past the end, too many fragments", () => {
    const { devmem, device, memory, tx } = makeTx();
    const rx = devmem.bindRx({ device, queues: [0], memory });
    expect(codeOf(() => devmem.txBinding(99, 7))).toBe("ERR_NETMEM_UNBOUND");
    expect(codeOf(() => devmem.txBinding(rx.id, 7))).toBe("ERR_NETMEM_UNBOUND");
    expect(codeOf(() => devmem.txBinding(tx.id, 8))).toBe("ERR_NETMEM_OTHER_DEVICE");
    expect(devmem.txBinding(tx.id, 7)).toBe(tx);
    const out = new Int32Array(6);
    for (const [offset, length] of [
      [0, 4 * PAGE + 1],
      [-1, 10],
      [4 * PAGE, 1],
      [0.5, 1],
    ] as const) {
      expect(codeOf(() => tx.takeFrags(offset, length, out))).toBe("ERR_NETMEM_DEVMEM_RANGE");
    }
    expect(codeOf(() => tx.takeFrags(0, 3 * PAGE, out))).toBe("ERR_NETMEM_DEVMEM_FRAGS");
    expect(tx.refCount).toBe(1);
  });

  test("a range becomes one entry per page, each with a reference that keeps the binding", async () => {
    const { devmem, host, tx } = makeTx();
    const out = new Int32Array(9);
    expect(tx.takeFrags(PAGE + 4000, 200, out)).toBe(2);
    expect([out[1], out[2], out[4], out[5]]).toEqual([4000, 96, 0, 104]);
    expect([tx.owns(out[0] as NetmemRef), tx.refCount]).toEqual([true, 3]);
    devmem.unbind(tx);
    expect([tx.isFreed, codeOf(() => tx.takeFrags(0, 1, out))]).toEqual([false, "ERR_NETMEM_UNBOUND"]);
    expect(codeOf(() => returnNetmem(host, out[0] as NetmemRef))).toBe("ERR_NETMEM_FOREIGN_PUT");
    putNetmem(host, out[0] as NetmemRef);
    expect(codeOf(() => putNetmem(host, out[0] as NetmemRef))).toBe("ERR_NETMEM_DOUBLE_PUT");
    const freed = tx.freed();
    tx.putFrags(out.subarray(3), 1);
    await freed;
    expect(codeOf(() => getNetmem(host, out[0] as NetmemRef))).toBe("ERR_NETMEM_DOUBLE_PUT");
  });

  test("#188 memory that is not bound to the device is found in a fragment list too", () => {
    const { devmem, device, memory, tx } = makeTx();
    const other = devmem.bindTx({ device: { ifindex: device.ifindex + 1 }, memory });
    const [mine, foreign] = [tx.pages.refAt(0), other.pages.refAt(0)];
    const may = (refs: readonly (readonly number[])[]): boolean => devmem.mayTransmit(device, viewOf(refs), 1);
    expect([
      may([[mine]]),
      may([[mine], [mine], []]),
      may([[mine], [mine, foreign]]),
      may([[], [], [foreign]]),
    ]).toEqual([true, true, false, false]);
  });

  test("empty ranges take nothing", () => {
    const { tx } = makeTx();
    expect([tx.takeFrags(4 * PAGE, 0, new Int32Array(0)), tx.refCount]).toEqual([0, 1]);
  });
});

test("two hosts have bindings of their own", () => {
  const [a, b] = [makeWorld(), makeWorld()];
  const one = a.devmem.bindRx({ device: a.device, queues: [0], memory: a.memory });
  const two = createDevmem(b.host).bindRx({ device: b.device, queues: [0], memory: b.memory });
  expect([one.id, two.id]).toEqual([1, 1]);
});

import {
  createHost,
  type DmaDevice,
  type Host,
  type PacketView,
  ppRefCount,
  refNetmem,
  type RxqProviderDevice,
} from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { SpscProducer } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { type Zcrx, type ZcrxParams, ZcrxRegistry, ZcrxResult, ZcrxUser } from "../src/index.ts";

const PAGE = 4096;

interface Head {
  readonly data: number;
  readonly headLen: number;
}

/** Packets that are a head alone. */
class Heads {
  readonly live = new Map<number, Head>();
  readonly view: PacketView;
  private nextId = 1;

  constructor() {
    let head: Head = { data: 0, headLen: 0 };
    const view: PacketView = {
      of: (id) => {
        head = this.live.get(id)!;
        return view;
      },
      get headLen() {
        return head.headLen;
      },
      get data() {
        return head.data;
      },
      unreadable: false,
      nrFrags: 0,
      fragList: 0,
      next: 0,
      fragRef: () => 0,
      fragOffset: () => 0,
      fragLen: () => 0,
    };
    this.view = view;
  }

  add(head: Head): number {
    this.live.set(this.nextId, head);
    return this.nextId++;
  }

  consume(id: number): void {
    this.live.delete(id);
  }
}

interface World {
  readonly host: Host;
  readonly packets: Heads;
  readonly registry: ZcrxRegistry;
  readonly area: { readonly offset: number; readonly bytes: number };
  readonly source: number;
  readonly register: (params?: Partial<ZcrxParams>) => Zcrx;
}

function makeWorld(): World {
  const host = createHost({ arenaBytes: 8 * 2 ** 20, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  const packets = new Heads();
  const registry = new ZcrxRegistry(host);
  const area = { offset: host.offsetOf(host.pages.allocPages(3) as never), bytes: 8 * PAGE };
  const source = host.offsetOf(host.pages.allocPages(2) as never);
  for (let n = 0; n < 4 * PAGE; n++) host.u8[source + n] = (n * 7) & 0xff;
  const register: World["register"] = (params = {}) =>
    registry.register({ area, refillEntries: 16, packets, ...params });
  return { host, packets, registry, area, source, register };
}

/** A host with a DMA device, and how many mappings it has. */
function makeMapped(): {
  host: Host;
  packets: Heads;
  area: World["area"];
  warnings: string[];
  mapped: () => number;
} {
  let count = 0;
  const dma: DmaDevice = {
    name: "counting",
    needsSync: false,
    map: () => ++count,
    unmap: () => void count--,
    translateMany: () => {},
    syncForDevice: () => {},
    syncForCpu: () => {},
  };
  const warnings: string[] = [];
  const host = createHost({
    arenaBytes: 8 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    onWarning: ({ code }) => warnings.push(code),
    dma,
  });
  const area = { offset: host.offsetOf(host.pages.allocPages(3) as never), bytes: 8 * PAGE };
  return { host, packets: new Heads(), area, warnings, mapped: () => count };
}

function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing";
}

describe("registration", () => {
  test("#202 refill entries 0, or 40000 without clamp: EINVAL; 1000: 1024", () => {
    const { host, register } = makeWorld();
    for (const refillEntries of [0, -1, 40000, 1.5]) {
      expect(codeOf(() => register({ refillEntries }))).toBe("ERR_NETMEM_ZCRX_ENTRIES");
    }
    const clamped = register({
      refillEntries: 40000,
      clamp: true,
      area: { offset: makeWorld().area.offset, bytes: PAGE },
    });
    clamped.unregister();
    const zcrx = register({ refillEntries: 1000 });
    expect(new SpscProducer(host.i32, zcrx.refillAt).size).toBe(1024 * 4);
  });

  test("buffers that are no power of two, less than a page, more than the area; areas that are not whole", () => {
    const { host, area, register } = makeWorld();
    for (const bufferBytes of [0, 2048, 5000, 12288]) {
      expect(codeOf(() => register({ bufferBytes }))).toBe("ERR_NETMEM_ZCRX_BUFFERS");
    }
    expect(codeOf(() => register({ bufferBytes: 16 * PAGE }))).toBe("ERR_NETMEM_ZCRX_BUFFERS");
    for (const bad of [
      { ...area, bytes: PAGE + 1 },
      { ...area, offset: area.offset + 64 },
      { offset: 0, bytes: PAGE },
      { offset: host.u8.length, bytes: PAGE },
    ]) {
      expect(codeOf(() => register({ area: bad }))).toBe("ERR_NETMEM_ZCRX_AREA");
    }
    expect(register().stats()).toMatchObject({ buffers: 8, freeBuffers: 8 });
  });

  test("a queue that does not restart leaves nothing behind, and the next registration works", () => {
    const { host, register } = makeWorld();
    const device: RxqProviderDevice = {
      ifindex: 1,
      queues: { length: 1 },
      openRxqProvider: () => {
        throw new Error("no");
      },
      closeRxqProvider: () => {},
    };
    const before = host.pages.freePageCount();
    register().unregister();
    const after = host.pages.freePageCount();
    for (let n = 0; n < 200; n++) expect(() => register({ device, queueIdx: 0 })).toThrow("no");
    expect([host.areas.list().length, host.pages.freePageCount()]).toEqual([0, after]);
    expect(before - after).toBeLessThan(64);
    register();
  });

  test("a host without a free provider number: coded, and no mapping is left", () => {
    const { host, area, packets, mapped } = makeMapped();
    const dummy = { opsVersion: 1, init: () => {}, destroy: () => {}, allocNetmems: () => 0 } as const;
    const fill = (): unknown =>
      host.providers.register({ ...dummy, name: "taken", releaseNetmem: () => true, owns: () => false });
    while (codeOf(fill) === "nothing");
    const registry = new ZcrxRegistry(host);
    const failing = (): Zcrx => registry.register({ area, refillEntries: 16, packets });
    expect(codeOf(failing)).toBe("ERR_NETMEM_PROVIDERS_EXHAUSTED");
    expect([mapped(), host.areas.list().length]).toEqual([0, 0]);
  });

  test("a queue that does not restart with pages is named, and the area ends", async () => {
    const { host, warnings, area, packets, mapped } = makeMapped();
    const device: RxqProviderDevice = {
      ifindex: 1,
      queues: { length: 1 },
      openRxqProvider: () => {},
      closeRxqProvider: () => {
        throw new Error("the device is down");
      },
    };
    const zcrx = new ZcrxRegistry(host).register({ device, queueIdx: 0, area, refillEntries: 16, packets });
    expect(mapped()).toBe(8);
    zcrx.unregister();
    await zcrx.freed();
    expect([mapped(), host.areas.list().length, warnings]).toEqual([0, 0, ["WARN_NETMEM_ZCRX_UNBIND"]]);
  });
});

describe("copies", () => {
  test("a packet outside the area is copied in, buffer by buffer, and consumed", () => {
    const { host, packets, area, source, register } = makeWorld();
    const zcrx = register();
    const user = new ZcrxUser(host, zcrx);
    expect(zcrx.deliver(packets.add({ data: source + 3, headLen: 9000 }))).toBe(ZcrxResult.Delivered);
    expect(packets.live.size).toBe(0);
    const got: number[] = [];
    while (user.next()) {
      for (let n = 0; n < user.length; n++) got.push(host.u8[area.offset + user.offset + n]!);
      expect(user.giveBack()).toBe(true);
    }
    expect(got).toEqual(Array.from({ length: 9000 }, (_, n) => ((n + 3) * 7) & 0xff));
    expect([zcrx.stats().freeBuffers, zcrx.flushRefill()]).toEqual([5, 0]);
    user.flush();
    expect([zcrx.flushRefill(), zcrx.stats().freeBuffers, zcrx.userRefs()]).toEqual([3, 8, 0]);
  });

  test("#200 no buffer for a copy: ENOMEM; completion ring full: ENOSPC; the packet stays and nobody holds more", () => {
    const { host, packets, source, register } = makeWorld();
    const zcrx = register({ completionEntries: 8 });
    const user = new ZcrxUser(host, zcrx);
    const big = packets.add({ data: source, headLen: 3 * PAGE });
    const results = Array.from({ length: 2 }, () => zcrx.deliver(packets.add({ data: source, headLen: 3 * PAGE })));
    expect([...results, zcrx.deliver(big)]).toEqual([0, 0, ZcrxResult.NoSpace]);
    while (user.next());
    expect(zcrx.deliver(big)).toBe(ZcrxResult.NoMemory);
    expect([packets.live.size, zcrx.userRefs(), zcrx.stats().freeBuffers]).toEqual([1, 6, 2]);
    expect([user.giveBack(), user.flush(), zcrx.flushRefill(), zcrx.deliver(big)]).toEqual([true, undefined, 1, 0]);
  });
});

describe("the refill ring", () => {
  test("#193 #194 bad entries are skipped and consumed: range, area, reserved bits, buffers that the user has not", () => {
    const { host, packets, source, register } = makeWorld();
    const zcrx = register();
    const user = new ZcrxUser(host, zcrx);
    zcrx.deliver(packets.add({ data: source, headLen: 10 }));
    expect(user.next()).toBe(true);
    const good = user.offset;
    const ring = new SpscProducer(host.i32, zcrx.refillAt);
    const entries = [
      [8 * PAGE, 0, 10, 0],
      [-1, 0, 10, 0],
      [good, 1 << 16, 10, 0],
      [good, 5, 10, 0],
      [good, 0, 10, 1],
      [good === 0 ? PAGE : 0, 0, 10, 0],
      [good + 100, 0, 10, 0],
      [good, 0, 10, 0],
    ];
    for (const entry of entries) ring.pushBatch(Int32Array.from(entry), 0, 4);
    ring.publish();
    expect(zcrx.flushRefill()).toBe(1);
    expect(zcrx.stats()).toMatchObject({ invalid: 5, unheld: 2, returned: 1, freeBuffers: 8 });
    expect([zcrx.flushRefill(), ring.room()]).toEqual([0, 64]);
  });

  test("a buffer that somebody else holds too stays where it is when the user gives it back", () => {
    const { host, packets, source, register } = makeWorld();
    const zcrx = register();
    const user = new ZcrxUser(host, zcrx);
    zcrx.deliver(packets.add({ data: source, headLen: 10 }));
    user.next();
    const ref = zcrx.area.refAt(user.offset >>> 12);
    refNetmem(host, ref);
    user.giveBack();
    user.flush();
    expect([zcrx.flushRefill(), zcrx.stats().freeBuffers, zcrx.userRefs(), ppRefCount(host, ref)]).toEqual([
      0, 7, 0, 1,
    ]);
  });

  test("a look at the ring ends, whatever its user claims to have put there", () => {
    const { host, register } = makeWorld();
    const zcrx = register();
    // The first word of a ring is its producer's count.
    Atomics.store(host.i32, zcrx.refillAt, 2 ** 20);
    zcrx.flushRefill();
    const { invalid, unheld, returned } = zcrx.stats();
    expect([invalid + unheld <= 16, returned]).toEqual([true, 0]);
  });

  test("any words at all end in counts, and the area works on", () => {
    const { host, packets, source, register } = makeWorld();
    const zcrx = register();
    const ring = new SpscProducer(host.i32, zcrx.refillAt);
    for (let round = 0; round < 50; round++) {
      ring.pushBatch(
        Int32Array.from({ length: 61 }, (_, n) => Math.imul(n + round * 61, 0x9e3779b1)),
        0,
        61,
      );
      ring.publish();
      zcrx.flushRefill();
    }
    expect([zcrx.stats().returned, zcrx.stats().freeBuffers]).toEqual([0, 8]);
    expect(zcrx.deliver(packets.add({ data: source, headLen: 100 }))).toBe(0);
  });
});

test("#199 the end takes what the user holds, and the memory is the application's again", async () => {
  const { host, packets, source, register } = makeWorld();
  const zcrx = register();
  zcrx.deliver(packets.add({ data: source, headLen: 2 * PAGE }));
  const freed = zcrx.freed();
  zcrx.unregister();
  zcrx.unregister();
  await freed;
  expect([zcrx.isFreed, host.areas.list().length, zcrx.userRefs()]).toEqual([true, 0, 0]);
  expect(zcrx.deliver(packets.add({ data: source, headLen: 10 }))).toBe(ZcrxResult.NoMemory);
});

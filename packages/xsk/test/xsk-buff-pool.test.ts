import { MemType, returnNetmem, refNetmem, type NetmemRef, XdpRxqInfo } from "@netmem/core";
import { createDirectDevice, createIommuDevice, withBalance } from "@netmem/dma";
import { describe, expect, test } from "vitest";
import { UmemFlag, XSK_BUFF_HAS_FRAGS } from "../src/index.ts";
import { codeOf, makeHost, makePool, makeUmem } from "./fixture.ts";

const UNALIGNED = { chunkSizeBytes: 3000, flags: UmemFlag.UnalignedChunk };

function alloc(pool: { allocNetmem(): NetmemRef | 0 }): NetmemRef {
  const ref = pool.allocNetmem();
  if (ref === 0) throw new Error("nothing to allocate");
  return ref;
}

describe("single allocation", () => {
  test("#262 fill ring empty: nothing, queue_empty+1", () => {
    const { pool } = makePool();
    expect([pool.allocNetmem(), pool.stats().queueEmptyDescs]).toEqual([0, 1]);
  });

  test("#263 fill address 5000 is chunk 1, its packet begins at 4096 + 256 + headroom", () => {
    for (const headroomBytes of [0, 128]) {
      const { pool, umem, post } = makePool({ headroomBytes });
      post(5000);
      const ref = alloc(pool);
      expect([pool.startOf(ref), pool.dataOf(ref)]).toEqual([
        umem.offset + 4096,
        umem.offset + 4096 + 256 + headroomBytes,
      ]);
      expect(pool.host.offsetOf(ref as never)).toBe(pool.startOf(ref));
    }
  });

  test("#264 bad entries before a good one: each counted and consumed, the good one returned", () => {
    const { pool, post } = makePool();
    post(65536, 2 ** 32, 2 ** 63, 4096);
    expect(pool.startOf(alloc(pool))).toBe(pool.geometry.offset + 4096);
    expect(pool.stats()).toMatchObject({ invalidDescs: 3, queueEmptyDescs: 0, out: 1 });
  });

  test("#265 only bad ones: invalid+k, queue_empty+1, nothing", () => {
    const { pool, post } = makePool();
    post(65536, 70000, 2 ** 40);
    expect(pool.allocNetmem()).toBe(0);
    expect(pool.stats()).toMatchObject({ invalidDescs: 3, queueEmptyDescs: 1, out: 0 });
  });

  test("#266 the free list comes before the fill ring, last in first out", () => {
    const { pool, post } = makePool();
    post(0, 4096, 8192, 12288);
    const [a, b] = [alloc(pool), alloc(pool)];
    pool.free(a);
    pool.free(b);
    const starts = [alloc(pool), alloc(pool), alloc(pool)].map(
      (ref) => (pool.startOf(ref) - pool.geometry.offset) / 4096,
    );
    expect(starts).toEqual([1, 0, 2]);
  });

  test("#268 a second free is a no-op and counted; a stale reference is refused", () => {
    const { pool, post } = makePool();
    post(0);
    const ref = alloc(pool);
    pool.free(ref);
    pool.free(ref);
    expect(pool.stats()).toMatchObject({ free: 1, doubleFrees: 1, out: 0 });
    expect(codeOf(() => returnNetmem(pool.host, ref))).toBe("ERR_NETMEM_DOUBLE_PUT ref");
    alloc(pool);
    expect(codeOf(() => pool.free(ref))).toBe("ERR_NETMEM_STALE_REF ref");
    expect(pool.stats()).toMatchObject({ free: 0, out: 1 });
  });

  test("two fill entries for one chunk give it once; the kernel would give it twice", () => {
    const { pool, post } = makePool();
    post(0, 100);
    alloc(pool);
    expect([pool.allocNetmem(), pool.stats().aliasedDescs]).toEqual([0, 1]);
  });
});

describe("unaligned chunks", () => {
  test("#269 a chunk that would leave the UMEM is invalid, one that ends with it is not", () => {
    const { pool, umem, post } = makePool({ ...UNALIGNED, ownBytes: 65536 });
    post(65536 - 2999, 65536 - 3000);
    expect(pool.startOf(alloc(pool))).toBe(umem.offset + 65536 - 3000);
    expect(pool.stats().invalidDescs).toBe(1);
  });

  test("#269 a chunk across pages: invalid where the device sees a gap, valid without one or without DMA", () => {
    const contiguous = makeHost(createDirectDevice);
    const scattered = makeHost((host) =>
      Object.assign(createDirectDevice(host), { map: (ref: NetmemRef) => (ref >>> 1) * 2 }),
    );
    const invalid = [null, contiguous, scattered].map((host) => {
      const rig = host === null ? makePool(UNALIGNED) : makePool(UNALIGNED, host.dma!, host);
      rig.post(3000);
      return [rig.pool.allocNetmem() === 0, rig.pool.stats().invalidDescs];
    });
    expect(invalid).toEqual([
      [false, 0],
      [false, 0],
      [true, 1],
    ]);
  });

  test("#269 the upper 16 bits are no part of the address, those below 48 are", () => {
    const { pool, umem, post } = makePool(UNALIGNED);
    post(2 ** 48 * 300 + 512, 2 ** 32 + 512);
    expect(pool.startOf(alloc(pool))).toBe(umem.offset + 512);
    expect([pool.allocNetmem(), pool.stats().invalidDescs]).toEqual([0, 1]);
  });

  test("5.4 no free head: nothing, and no counter", () => {
    const { pool, post } = makePool({ ...UNALIGNED, ownBytes: 8192 });
    post(0, 100, 200);
    const refs = [alloc(pool), alloc(pool)];
    expect(pool.allocNetmem()).toBe(0);
    expect(pool.stats()).toMatchObject({ queueEmptyDescs: 0, invalidDescs: 0 });
    pool.deliver(refs[0]!);
    expect(pool.startOf(alloc(pool))).toBe(pool.geometry.offset + 200);
  });
});

describe("batches", () => {
  test("#272 ten wanted, three free, four in the ring of which one is bad: six", () => {
    const { pool, post } = makePool();
    post(0, 4096, 8192);
    for (const ref of [alloc(pool), alloc(pool), alloc(pool)]) pool.free(ref);
    post(12288, 2 ** 33, 16384, 20480);
    const out = new Int32Array(10);
    expect(pool.allocBulk(out, 10)).toBe(6);
    expect(new Set(out.subarray(0, 6)).size).toBe(6);
    expect(pool.stats()).toMatchObject({ free: 0, invalidDescs: 1, queueEmptyDescs: 0, out: 6 });
    expect(pool.fill!.peek(1)).toBe(0);
  });

  test("#274 nothing there: 0 and queue_empty+1; only bad ones: invalid+n as well", () => {
    const { pool, post } = makePool();
    const out = new Int32Array(8);
    expect([pool.allocBulk(out, 8), pool.stats().queueEmptyDescs]).toEqual([0, 1]);
    post(2 ** 20, 2 ** 40);
    expect([pool.allocBulk(out, 8), pool.stats().queueEmptyDescs, pool.stats().invalidDescs]).toEqual([0, 2, 2]);
  });

  test("#275 a batch leaves data and flags; a device that needs sync gets them reset", () => {
    const host = makeHost();
    const device = {
      name: "sync",
      needsSync: true,
      map: () => 7,
      unmap: () => {},
      syncForDevice: () => {},
      syncForCpu: () => {},
      translateMany: () => {},
    };
    for (const [dma, isReset] of [
      [undefined, false],
      [device, true],
    ] as const) {
      const { pool, post } = makePool({}, dma, host);
      post(0);
      const ref = alloc(pool);
      pool.setData(ref, pool.dataOf(ref) + 10, 60, 4);
      pool.addFrag(ref, ref);
      pool.takeFrag();
      pool.free(ref);
      const out = new Int32Array(1);
      pool.allocBulk(out, 1);
      const again = out[0] as NetmemRef;
      const start = pool.startOf(again);
      expect([pool.lenOf(again), pool.dataOf(again) - start, pool.flagsOf(again)]).toEqual(
        isReset ? [0, 256, 0] : [60, 266, XSK_BUFF_HAS_FRAGS],
      );
    }
  });

  test("5.4 canAlloc counts the free list and the ring, and looks at no address", () => {
    const { pool, post } = makePool();
    expect([pool.canAlloc(1), pool.stats().queueEmptyDescs]).toEqual([false, 1]);
    post(0, 2 ** 40);
    expect([pool.canAlloc(2), pool.canAlloc(3), pool.stats().queueEmptyDescs]).toEqual([true, false, 1]);
  });

  test("a free list longer than the return stack stays last in, first out", () => {
    const { pool, post } = makePool({ ownBytes: 2 * 2 ** 20 });
    const refs: NetmemRef[] = [];
    for (let n = 0; n < 500; n++) {
      post(n * 4096);
      refs.push(alloc(pool));
    }
    for (const ref of refs) pool.free(ref);
    expect(pool.freeCount).toBe(500);
    const seen = refs.map(() => (pool.startOf(alloc(pool)) - pool.geometry.offset) / 4096);
    expect(seen).toEqual(Array.from({ length: 500 }, (_, n) => 499 - n));
  });
});

describe("packets", () => {
  test("#233 freeing a packet of several buffers frees each exactly once", () => {
    const { pool, post } = makePool();
    post(0, 4096, 8192);
    const [head, ...frags] = [alloc(pool), alloc(pool), alloc(pool)] as const;
    for (const ref of frags) expect(pool.addFrag(head, ref)).toBe(true);
    pool.freePacket(head);
    expect(pool.stats()).toMatchObject({ free: 3, out: 0, doubleFrees: 0 });
    pool.free(frags[0]);
    expect(pool.stats()).toMatchObject({ free: 3, doubleFrees: 1 });
  });

  test("buffers come home through returnNetmem, from several holders with the last one", () => {
    const { pool, host, post } = makePool();
    post(0, 4096);
    const [a, b] = [alloc(pool), alloc(pool)];
    refNetmem(host, a);
    returnNetmem(host, a);
    expect(pool.stats()).toMatchObject({ free: 0, out: 2 });
    returnNetmem(host, a);
    returnNetmem(host, b);
    expect(pool.stats()).toMatchObject({ free: 2, out: 0 });
    expect(codeOf(() => pool.free(5 as NetmemRef))).toContain("ERR_NETMEM");
  });

  test("MemType.XskBuffPool has a model once there is a pool, and a queue can register it", () => {
    const { pool, host } = makePool();
    const rxq = new XdpRxqInfo();
    host.mem.regRxqInfo(rxq, 1, 0, 0);
    host.mem.regMemModel(rxq, MemType.XskBuffPool, pool);
    expect(rxq.mem.type).toBe(MemType.XskBuffPool);
    const { id } = rxq.mem;
    pool.destroy();
    expect(host.mem.lookup(id)).toBe(pool);
    host.mem.unregRxqInfo(rxq);
    expect(host.mem.lookup(id)).toBe(null);
  });
});

test("setSize clears what the last use left: the packet has no fragments (`xsk_buff_set_size`)", () => {
  const { pool, post } = makePool();
  post(0, 4096, 8192);
  const [head, frag] = [alloc(pool), alloc(pool)];
  pool.addFrag(head, frag);
  pool.deliver(pool.takeFrag() as NetmemRef);
  pool.deliver(head);
  post(0, 4096);
  const out = new Int32Array(3);
  expect(pool.allocBulk(out, 3)).toBe(3);
  const [other, again, piece] = [...out] as [NetmemRef, NetmemRef, NetmemRef];
  expect([pool.startOf(again), pool.flagsOf(again)]).toEqual([pool.geometry.offset, XSK_BUFF_HAS_FRAGS]);
  pool.setSize(other, 64);
  pool.setSize(again, 64);
  pool.addFrag(other, piece);
  pool.freePacket(again);
  expect([pool.pendingFrags, pool.freeCount]).toEqual([1, 1]);
});

describe("end", () => {
  test("a destroyed pool waits for what is out, then tells once and leaves nothing", () => {
    const host = makeHost();
    const { pool, post } = makePool({}, undefined, host);
    post(0, 4096, 8192);
    const [a, b, c] = [alloc(pool), alloc(pool), alloc(pool)];
    pool.free(c);
    let gone = 0;
    pool.onGone(() => gone++);
    pool.destroy();
    expect([gone, pool.allocNetmem(), pool.outCount]).toEqual([0, 0, 2]);
    returnNetmem(host, a);
    expect(gone).toBe(0);
    pool.free(b);
    expect([gone, host.owners.get(pool.ownerId)]).toEqual([1, null]);
    const umem = makeUmem(host);
    expect(umem.frames!.area.firstIdx).toBeGreaterThanOrEqual(host.layout.pageCount);
  });

  test("#304 a UMEM is mapped once per device and unmapped with its last user", () => {
    const host = makeHost();
    const dma = withBalance(createIommuDevice(host));
    const umem = makeUmem(host);
    const [first, second] = [umem.mapDma(dma), umem.mapDma(dma)];
    expect([first === second, first.users]).toEqual([true, 2]);
    umem.unmapDma(first);
    expect(codeOf(() => umem.dispose())).toContain("ERR_NETMEM_XSK_UMEM_BUSY");
    umem.unmapDma(second);
    dma.assertBalanced();
    umem.dispose();
  });
});

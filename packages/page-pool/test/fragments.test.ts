import { getNetmem, idxOf, makeRef, META_SHARED, type NetmemRef, ppRefCount, putNetmem } from "@netmem/core";
import { FaultInjector } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, type PagePool, PagePoolFlag } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import { faultyPages } from "./fault-pages.ts";
import {
  changes,
  codesOf,
  expectCode,
  expectRefused,
  freePages,
  makeBench,
  makePool,
  take,
  takeFrag,
} from "./fixture.ts";

const RINGED = { ring: 1, inRing: 1 };
const NEW_PAGE = { fast: 1, inCache: -1 };

/** A pool whose cache has pages, so that a new fragment page costs fast+1. */
function warmPool(bench = makeBench(), params = {}): PagePool {
  const pool = makePool(bench, params);
  pool.recycleDirect(take(pool));
  return pool;
}

describe("pp_ref_count", () => {
  test("#67 fragment(4), three puts: no counters; the fourth recycles; the count reads 1", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 4);
    for (let n = 3; n >= 1; n--) {
      expect(changes(pool, () => pool.putFullPage(ref))).toEqual({});
      expect(ppRefCount(bench.host, ref)).toBe(n);
    }
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
    expect(ppRefCount(bench.host, ref)).toBe(1);
    // Exclusive again: the next holder's put is the one-compare kind.
    const again = take(pool);
    expect(bench.host.i32[idxOf(again)]! & META_SHARED).toBe(0);
  });

  test("#68 unref(10) of 10 returns 0 and leaves 1; unref(7) of 10 returns 3", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 10);
    expect(pool.unrefNetmem(ref, 7)).toBe(3);
    expect(ppRefCount(bench.host, ref)).toBe(3);
    const other = take(pool);
    pool.fragmentNetmem(other, 10);
    expect(pool.unrefNetmem(other, 10)).toBe(0);
    expect(ppRefCount(bench.host, other)).toBe(1);
  });

  test("2.5 dropping more than there are is refused and changes nothing", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 3);
    expectRefused(bench.host, "ERR_NETMEM_REF_UNDERFLOW", () => pool.unrefNetmem(ref, 4));
  });

  test("#70 count 2, one more reference, three puts: the third recycles", () => {
    const pool = makePool(makeBench());
    const ref = take(pool);
    pool.fragmentNetmem(ref, 2);
    pool.refNetmem(ref);
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual({});
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual({});
    expect(changes(pool, () => pool.putFullPage(ref))).toEqual(RINGED);
  });

  test("#71 count 1, unref(1): returns 0 and stores nothing", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    const before = bench.host.i32.slice(0, bench.host.layout.ownersAt);
    expect(pool.unrefNetmem(ref, 1)).toBe(0);
    expect(bench.host.i32.subarray(0, before.length).findIndex((word, at) => word !== before[at])).toBe(-1);
    expect(ppRefCount(bench.host, ref)).toBe(1);
  });

  test("#73 driver bias: the stack returned its pieces, unref of the rest gives 0, then putUnrefed exactly once", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    pool.fragmentNetmem(ref, 1000);
    for (let n = 0; n < 3; n++) pool.putFullPage(ref);
    expect(ppRefCount(bench.host, ref)).toBe(997);
    expect(pool.unrefNetmem(ref, 997)).toBe(0);
    expect(changes(pool, () => pool.putUnrefed(ref, -1, false))).toEqual(RINGED);
    expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => pool.putUnrefed(ref, -1, false));
  });
});

describe("allocFrag", () => {
  test("#74 five times 1024 with nothing freed: 0, 1024, 2048, 3072 on P, then 0 on Q; P's count is 4", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    const frags = Array.from({ length: 5 }, () => takeFrag(pool, 1024));
    expect(frags.map(({ offset }) => offset)).toEqual([0, 1024, 2048, 3072, 0]);
    const [p, q] = [frags[0]!.ref, frags[4]!.ref];
    expect(frags.slice(1, 4).every(({ ref }) => ref === p)).toBe(true);
    expect(idxOf(q)).not.toBe(idxOf(p));
    expect(ppRefCount(bench.host, p)).toBe(4);
  });

  test("2.4 sizes are rounded up to 8 bytes", () => {
    const pool = makePool(makeBench());
    expect([1, 9, 16, 7].map((size) => takeFrag(pool, size).offset)).toEqual([0, 8, 24, 40]);
  });

  test("2.4 all pieces home before the next page is needed: the page starts over, cached+1 and fast+1", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    const frags = Array.from({ length: 4 }, () => takeFrag(pool, 1024));
    for (const { ref } of frags) pool.putFullPage(ref);
    const p = frags[0]!.ref;
    let next: { ref: NetmemRef; offset: number } | undefined;
    expect(changes(pool, () => (next = takeFrag(pool, 1024)))).toEqual({ cached: 1, fast: 1 });
    expect([idxOf(next!.ref), next!.offset]).toEqual([idxOf(p), 0]);
    // References to the old pieces are dead.
    expectRefused(bench.host, "ERR_NETMEM_STALE_REF", () => pool.putFullPage(p));
    expect(changes(pool, () => pool.putFullPage(next!.ref))).toEqual({});
    checkPoolInvariants(pool);
  });

  test("#76 three of four freed before the fifth: a new page, P's count 1, its last piece recycles normally", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    const frags = Array.from({ length: 4 }, () => takeFrag(pool, 1024));
    for (const { ref } of frags.slice(0, 3)) pool.putFullPage(ref);
    expect(changes(pool, () => takeFrag(pool, 1024))).toEqual(NEW_PAGE);
    expect(ppRefCount(bench.host, frags[0]!.ref)).toBe(1);
    expect(changes(pool, () => pool.putFullPage(frags[0]!.ref))).toEqual(RINGED);
    checkPoolInvariants(pool);
  });

  test("#77 all freed but the page refcount is 2: rel+1, released_refcnt unchanged, a new page", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    const frags = Array.from({ length: 4 }, () => takeFrag(pool, 1024));
    getNetmem(bench.host, frags[0]!.ref);
    for (const { ref } of frags) pool.putFullPage(ref);
    expect(changes(pool, () => takeFrag(pool, 1024))).toEqual({ ...NEW_PAGE, rel: 1 });
    const free = freePages(bench);
    putNetmem(bench.host, frags[0]!.ref);
    expect(freePages(bench)).toBe(free + 1);
    checkPoolInvariants(pool);
  });

  test("#79 size 5000 at order 0: a warning, 0 and no change; 4096 is allowed at offset 0", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    for (const size of [5000, 4097, 2 ** 31, 2 ** 32 + 8, Number.POSITIVE_INFINITY, Number.NaN, 0, -8, 0.5]) {
      bench.warnings.length = 0;
      expect(changes(pool, () => expect(pool.allocFrag(size)).toBe(0))).toEqual({});
      expect(changes(pool, () => expect(pool.alloc(size)).toBe(0))).toEqual({});
      expect(codesOf(bench)).toEqual(["WARN_NETMEM_FRAG_SIZE", "WARN_NETMEM_FRAG_SIZE"]);
    }
    expect(takeFrag(pool, 4096).offset).toBe(0);
    // The same with a fragment page at hand.
    takeFrag(pool, 8);
    for (const size of [5000, 4097, 2 ** 31, 2 ** 32 + 8, Number.NaN, 0, -8, 0.5]) {
      expect(changes(pool, () => expect(pool.allocFrag(size)).toBe(0))).toEqual({});
    }
    expect(takeFrag(pool, 8).offset).toBe(8);
  });

  test("#80 no new page to be had: 0, no current page, the next call starts from scratch", () => {
    const faults = new FaultInjector();
    const bench = makeBench({ pageAllocator: faultyPages(faults) });
    const pool = makePool(bench);
    faults.limitBulk("pages.bulk", 1);
    const first = takeFrag(pool, 4096).ref;
    faults.failAlways("pages.bulk");
    expect(changes(pool, () => expect(pool.allocFrag(4096)).toBe(0))).toEqual({ empty: 1 });
    expect(changes(pool, () => expect(pool.allocFrag(8)).toBe(0))).toEqual({ empty: 1 });
    expect(changes(pool, () => expect(pool.alloc(8)).toBe(0))).toEqual({ empty: 1 });
    // Nobody but its user holds the first page.
    expect(changes(pool, () => pool.putFullPage(first))).toEqual(RINGED);
    faults.failNever("pages.bulk");
    expect(takeFrag(pool, 8).offset).toBe(0);
    checkPoolInvariants(pool);
  });

  test("2.4 fragments of order-2 buffers go up to 16 KiB", () => {
    const pool = makePool(makeBench(), { order: 2 });
    expect([8192, 8000, 192].map((size) => takeFrag(pool, size).offset)).toEqual([0, 8192, 16_192]);
    expect(takeFrag(pool, 16_384).offset).toBe(0);
  });

  test("2.4 fragments of net_iovs work the same", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 4 });
    const pool = makePool(bench, providerParams(provider));
    const frags = Array.from({ length: 4 }, () => takeFrag(pool, 1024));
    for (const { ref } of frags) pool.putFullPage(ref);
    expect(changes(pool, () => takeFrag(pool, 1024))).toEqual({ cached: 1, fast: 1 });
    checkPoolInvariants(pool);
  });
});

describe("alloc", () => {
  const sized = (pool: PagePool, size: number): [number, number] => {
    expect(pool.alloc(size)).not.toBe(0);
    return [pool.lastOffset, pool.lastSize];
  };

  test("#82 size 2049: the whole page, offset 0, the fragment state is untouched", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    takeFrag(pool, 64);
    expect(changes(pool, () => expect(sized(pool, 2049)).toEqual([0, 4096]))).toEqual(NEW_PAGE);
    expect(takeFrag(pool, 64).offset).toBe(64);
    expect(sized(pool, 4096)).toEqual([0, 4096]);
  });

  test("#83 size 2048 twice: (0, 2048) and (2048, 2048); the third takes a new page", () => {
    const pool = warmPool();
    expect([sized(pool, 2048), sized(pool, 2048)]).toEqual([
      [0, 2048],
      [2048, 2048],
    ]);
    expect(changes(pool, () => expect(sized(pool, 2048)).toEqual([0, 2048]))).toEqual(NEW_PAGE);
  });

  test("2.4 when another one of the same size would not fit, the leftover is donated", () => {
    const pool = warmPool();
    expect([sized(pool, 1500), sized(pool, 1500)]).toEqual([
      [0, 1500],
      [1504, 2592],
    ]);
    expect(sized(pool, 8)).toEqual([0, 8]);
  });

  test("#85 size 1500, then 100: no donation happened, so (1504, 100)", () => {
    const pool = warmPool();
    expect([sized(pool, 1500), sized(pool, 100)]).toEqual([
      [0, 1500],
      [1504, 100],
    ]);
  });
});

describe("allocVa and freeVa", () => {
  test("#86 an address inside the page at the offset; freeVa of any address in the page drops one reference", () => {
    const bench = makeBench();
    const pool = warmPool(bench);
    const vas = [pool.allocVa(1024), pool.allocVa(1000)];
    expect(vas[1]! - vas[0]!).toBe(1024);
    expect(vas[0]! % 4096).toBe(0);
    const page = makeRef(vas[0]! >>> 12, bench.host.i32[vas[0]! >>> 12]! & 0x1ff, 0);
    takeFrag(pool, 4096);
    expect(ppRefCount(bench.host, page)).toBe(2);
    expect(changes(pool, () => pool.freeVa(vas[0]! + 4095, false))).toEqual({});
    expect(changes(pool, () => pool.freeVa(vas[1]! + 3, false))).toEqual(RINGED);
    expectRefused(bench.host, "ERR_NETMEM_NOT_OUT", () => pool.freeVa(vas[1]!, false));
  });

  test("#86 in a block of four pages, whatever its generation", () => {
    const bench = makeBench();
    const pool = makePool(bench, { order: 2 });
    for (let round = 0; round < 5; round++) {
      const va = pool.allocVa(3000);
      const second = pool.allocVa(8000);
      expect(second - va).toBe(3000);
      pool.freeVa(second + 7999, true);
      pool.freeVa(va, true);
      expect(pool.allocFrag(16_384)).not.toBe(0);
      pool.freeVa(va + 16_000, true);
      const whole = pool.allocVa(16_384);
      expect(changes(pool, () => pool.freeVa(whole + 4096 * (round % 4), true))).toEqual({ cached: 1, inCache: 1 });
      checkPoolInvariants(pool);
    }
  });

  test("2.4 addresses that are no buffer's are refused", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    take(pool);
    for (const va of [0, -1, 4096, bench.host.u8.length, 2 ** 31, Number.NaN]) {
      expectRefused(bench.host, /BAD_REF|STALE_REF/, () => pool.freeVa(va, true));
    }
    const lastPage = bench.host.u8.length - 4096;
    expectRefused(bench.host, "ERR_NETMEM_STALE_REF", () => pool.freeVa(lastPage, true));
  });

  test.each([true, false])("2.4 allocVa of net_iovs (readable: %s) is refused and takes nothing", (readable) => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 2, readable });
    const pool = makePool(bench, providerParams(provider));
    for (const size of [100, 4096]) expectCode("ERR_NETMEM_NOT_A_PAGE", () => pool.allocVa(size));
    expect(pool.destroy()).toBe(true);
  });
});

test("#88 fragments are synced whole, whatever size the last piece says", () => {
  const dma = new FakeDmaDevice();
  const bench = makeBench({ dma });
  const flags = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
  const pool = makePool(bench, { flags, maxLenBytes: 3000, offsetBytes: 128 });
  const put = (ref: NetmemRef, syncSize: number): unknown => {
    dma.syncs.length = 0;
    pool.put(ref, syncSize, true);
    return dma.syncs.map(({ offset, len }) => [offset, len]);
  };
  const pieces = take(pool);
  pool.fragmentNetmem(pieces, 2);
  expect(put(pieces, 64)).toEqual([]);
  expect(put(pieces, 64)).toEqual([[128, 3000]]);
  // The same for a driver that drains its bias itself.
  const biased = take(pool);
  pool.fragmentNetmem(biased, 9);
  expect(pool.unrefNetmem(biased, 9)).toBe(0);
  dma.syncs.length = 0;
  pool.putUnrefed(biased, 64, true);
  expect(dma.syncs.map(({ len }) => len)).toEqual([3000]);
  // An exclusive buffer: what the caller says, at most maxLenBytes.
  expect(put(take(pool), 64)).toEqual([[128, 64]]);
  expect(put(take(pool), 5000)).toEqual([[128, 3000]]);
  expect(put(take(pool), -1)).toEqual([[128, 3000]]);
});

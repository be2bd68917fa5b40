import { type NetmemRef, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, type PagePool, PagePoolFlag, type PagePoolParams } from "../src/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "./fake-niov-provider.ts";
import {
  type Bench,
  changes,
  expectCode,
  expectRefused,
  makeBench,
  makePool,
  take,
  takeFrag,
  takeMany,
} from "./fixture.ts";

function debugPool(params: PagePoolParams = {}): { bench: Bench; pool: PagePool } {
  const bench = makeBench();
  return { bench, pool: makePool(bench, { debug: true, ...params }) };
}

function write(bench: Bench, ref: NetmemRef, at: number, value: number): void {
  if (!bench.host.isReadable(ref)) throw new Error("not readable");
  bench.host.u8[bench.host.offsetOf(ref) + at] = value;
}

describe("debug: poison", () => {
  test.each([0, 1, 2048, 4095])(
    "a write to byte %i of a free buffer is found at its next allocation, which gives another buffer then",
    (at) => {
      const { bench, pool } = debugPool();
      const ref = take(pool);
      pool.recycleDirect(ref);
      write(bench, ref, at, 1);
      // It has to come out of the quarantine first.
      let error: Record<string, unknown> | undefined;
      for (let n = 0; n < 500 && error === undefined; n++) {
        try {
          pool.recycleDirect(take(pool));
        } catch (thrown) {
          error = thrown as Record<string, unknown>;
        }
        checkPoolInvariants(pool);
      }
      expect(error).toMatchObject({ name: "NetmemError", code: "ERR_NETMEM_WRITE_AFTER_PUT", param: "ref" });
      expect(error!["message"]).toContain(`byte ${at} `);
      expect(pool.outside()).toEqual([]);
      for (const next of takeMany(pool, 200)) pool.recycleDirect(next);
      expect(pool.destroy()).toBe(true);
    },
  );

  test("all of a block is poisoned, nothing beyond it", () => {
    const { bench, pool } = debugPool({ order: 2 });
    const ref = take(pool);
    const from = bench.host.offsetOf(ref as never);
    const beyond = bench.host.u8.slice(from + 16_384, from + 16_400);
    pool.putFullPage(ref);
    expect(bench.host.u8.subarray(from, from + 16_384).every((byte) => byte === 0x6b)).toBe(true);
    expect(bench.host.u8.slice(from + 16_384, from + 16_400)).toEqual(beyond);
  });

  test("a pool without debug neither poisons nor looks", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    write(bench, ref, 7, 42);
    pool.recycleDirect(ref);
    write(bench, ref, 8, 43);
    const again = take(pool);
    expect([7, 8].map((at) => bench.host.u8[bench.host.offsetOf(again as never) + at])).toEqual([42, 43]);
  });

  test("the host's level is the default: debug and proof pools check, checked ones do not", () => {
    for (const level of ["checked", "debug", "proof"] as const) {
      const pool = makePool(makeBench({ level }));
      expect(pool.params.debug).toBe(level !== "checked");
      for (const ref of takeMany(pool, 10)) pool.recycleDirect(ref);
      expect(pool.destroy()).toBe(true);
    }
  });
});

describe("debug: quarantine", () => {
  test("reuse is delayed by 64 buffers, first in first out; the delay counts as nothing", () => {
    const { pool } = debugPool();
    const refs = takeMany(pool, 70);
    const first = changes(pool, () => refs.slice(0, 64).forEach((ref) => pool.recycleDirect(ref)));
    expect(first).toEqual({});
    expect(pool.inflight()).toBe(128);
    const next = changes(pool, () => refs.slice(64).forEach((ref) => pool.recycleDirect(ref)));
    expect(next).toEqual({ cached: 6, inCache: 6 });
    const freed = takeMany(pool, 6).map((ref) => ref & 0x1fffff);
    expect(freed).toEqual(
      refs
        .slice(0, 6)
        .reverse()
        .map((ref) => ref & 0x1fffff),
    );
  });

  test("a buffer that waits there is no longer out: a double put is refused", () => {
    const { bench, pool } = debugPool();
    const ref = take(pool);
    pool.recycleDirect(ref);
    for (const put of [(r: NetmemRef) => pool.putFullPage(r), (r: NetmemRef) => returnNetmem(bench.host, r)]) {
      expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => put(ref));
    }
  });

  test.each([false, true])("destroy empties it, late puts as well (late: %s)", (late) => {
    const { bench, pool } = debugPool();
    const refs = takeMany(pool, 10);
    for (const ref of refs.slice(1)) pool.recycleDirect(ref);
    if (!late) pool.recycleDirect(refs[0]!);
    expect(pool.destroy()).toBe(!late);
    if (late) pool.recycleDirect(refs[0]!);
    bench.clock.advance(1000);
    expect(pool.freed).toBe(true);
  });

  test("a buffer that leaves it is synced whole: the size of the put at hand is another's", () => {
    const dma = new FakeDmaDevice();
    const bench = makeBench({ dma });
    const flags = PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
    const pool = makePool(bench, { debug: true, flags, maxLenBytes: 2000 });
    const refs = takeMany(pool, 66);
    dma.syncs.length = 0;
    for (const ref of refs) pool.put(ref, 8, true);
    expect(dma.syncs.map(({ len }) => len)).toEqual([2000, 2000]);
  });
});

describe("debug: fragment map and red zones", () => {
  const setUp = () => {
    const { bench, pool } = debugPool();
    const frags = [takeFrag(pool, 100), takeFrag(pool, 50), takeFrag(pool, 1000)];
    return { bench, pool, frags, page: frags[0]!.ref };
  };

  test("fragments keep 16 bytes of distance", () => {
    expect(setUp().frags.map(({ offset }) => offset)).toEqual([0, 120, 192]);
  });

  test.each(["putFrag", "freeVa"] as const)("a double put of one fragment by %s is certain to be caught", (how) => {
    const { bench, pool, frags, page } = setUp();
    const base = bench.host.offsetOf(page as never);
    const put = (offset: number): void =>
      how === "putFrag" ? pool.putFrag(page, offset, true) : pool.freeVa(base + offset, true);
    put(frags[1]!.offset);
    expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => put(frags[1]!.offset));
    expectRefused(bench.host, "ERR_NETMEM_DOUBLE_PUT", () => put(8));
    put(frags[0]!.offset);
    put(frags[2]!.offset);
    expect(pool.destroy()).toBe(true);
  });

  test("a put that is refused does not count as the fragment's return", () => {
    const { bench, pool, frags, page } = setUp();
    const offset = frags[1]!.offset;
    bench.host.context.hardirq = true;
    expectCode("ERR_NETMEM_HARDIRQ", () => pool.putFrag(page, offset, true));
    expectCode("ERR_NETMEM_HARDIRQ", () => pool.freeVa(bench.host.offsetOf(page as never) + offset, true));
    bench.host.context.hardirq = false;
    const stale = (page ^ (1 << 21)) as NetmemRef;
    expectCode("ERR_NETMEM_STALE_REF", () => pool.putFrag(stale, offset, true));
    pool.putFrag(page, offset, true);
  });

  test("a write beyond a fragment's end is found when it is returned, once", () => {
    const { bench, pool, frags, page } = setUp();
    write(bench, page, 100, 1);
    write(bench, page, 192 + 1000 + 15, 1);
    for (const at of [0, 2]) {
      const error = expectCode("ERR_NETMEM_OVERRUN", () => pool.putFrag(page, frags[at]!.offset, true));
      expect(error["message"]).toContain(`offset ${frags[at]!.offset}`);
    }
    for (const { offset } of frags) pool.putFrag(page, offset, true);
    expect(pool.destroy()).toBe(true);
  });

  test("fragments that were put without their offset are checked when the page comes home", () => {
    const { bench, pool, page } = setUp();
    takeFrag(pool, 4096);
    write(bench, page, 192 + 1000, 1);
    pool.putFullPage(page);
    pool.putFullPage(page);
    expectCode("ERR_NETMEM_OVERRUN", () => pool.putFullPage(page));
    pool.putFullPage(page);
    checkPoolInvariants(pool);
    expect(pool.outside()).not.toContain(page);
  });

  test("in a bulk put the entries before it are home, it and the rest stay with the caller", () => {
    const { bench, pool, page } = setUp();
    takeFrag(pool, 4096);
    write(bench, page, 192 + 1000, 1);
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    const bulk = (...refs: NetmemRef[]): void => pool.putNetmemBulk(Int32Array.from(refs), refs.length);
    expect(expectCode("ERR_NETMEM_OVERRUN", () => bulk(a, page, page, page, b))["param"]).toBe("refs[3]");
    checkPoolInvariants(pool);
    bulk(page, b);
    checkPoolInvariants(pool);
    expect(pool.outside()).toHaveLength(1);
  });

  test("a whole page at offset 0 and 4096 bytes has no zone and may be written to the end", () => {
    const { bench, pool } = debugPool();
    const { ref } = takeFrag(pool, 4096);
    write(bench, ref, 4095, 1);
    pool.putFrag(ref, 0, true);
    expect(pool.alloc(4096)).not.toBe(0);
  });

  test("unreadable memory has neither poison nor zones, and no byte of the arena is touched for it", () => {
    const bench = makeBench();
    const provider = new FakeNiovProvider({ host: bench.host, count: 8 });
    const pool = makePool(bench, { ...providerParams(provider), debug: true });
    const head = bench.host.u8.slice(0, 4096);
    const frags = [takeFrag(pool, 100), takeFrag(pool, 100)];
    expect(bench.host.u8.slice(0, 4096)).toEqual(head);
    pool.putFrag(frags[0]!.ref, frags[0]!.offset, true);
    expectCode("ERR_NETMEM_DOUBLE_PUT", () => pool.putFrag(frags[0]!.ref, frags[0]!.offset, true));
    pool.putFrag(frags[1]!.ref, frags[1]!.offset, true);
    for (const ref of takeMany(pool, 5)) pool.recycleDirect(ref);
    expect(pool.destroy()).toBe(true);
    expect(provider.free).toHaveLength(8);
  });
});

describe("debug: touch history", () => {
  test("the drain error names who had each buffer last", async () => {
    const { bench, pool } = debugPool({ name: "rx0" });
    const [a, b] = takeMany(pool, 2) as [NetmemRef, NetmemRef];
    pool.touch(a, "parser");
    pool.touch(a, "socket 7");
    pool.touch(b, "tx ring 0");
    const promise = pool.drained({ timeoutMs: 10 });
    bench.clock.advance(10);
    await expect(promise).rejects.toThrow(/\(socket 7\)/);
    await expect(promise).rejects.toThrow(/\(tx ring 0\)/);
    await expect(promise).rejects.not.toThrow(/parser/);
  });

  test("a sampled allocation names its caller", async () => {
    const { bench, pool } = debugPool();
    take(pool);
    const promise = pool.drained({ timeoutMs: 10 });
    bench.clock.advance(10);
    await expect(promise).rejects.toThrow(/\(at .+\)/);
  });

  test("a write after put lists the last eight touches", () => {
    const { bench, pool } = debugPool({ order: 1 });
    const ref = take(pool);
    for (let n = 0; n < 10; n++) pool.touch(ref, `holder ${n}`);
    pool.recycleDirect(ref);
    write(bench, ref, 5, 5);
    let error: unknown;
    for (let n = 0; n < 200 && error === undefined; n++) {
      try {
        pool.recycleDirect(take(pool));
      } catch (thrown) {
        error = thrown;
      }
    }
    expect((error as { remedy: string }).remedy).toMatch(/holder 2 \| .+ \| holder 9/);
    expect((error as { remedy: string }).remedy).not.toContain("holder 1 ");
  });

  test("without debug a touch is nothing", async () => {
    const bench = makeBench();
    const pool = makePool(bench);
    pool.touch(take(pool), "somebody");
    const promise = pool.drained({ timeoutMs: 10 });
    bench.clock.advance(10);
    await expect(promise).rejects.not.toThrow(/somebody/);
  });
});

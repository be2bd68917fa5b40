import { idxOf, makeRef, type PageRef } from "@netmem/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createHugeProvider, createModelBacking, withHugeLimit } from "../src/index.ts";
import { PageRun } from "../src/page-run.ts";
import { Places } from "../src/places.ts";
import { RunTable } from "../src/run-table.ts";
import { BarePool, expectCode, idxsOf, makeBench, MIB } from "./fixture.ts";

describe("the model backing", () => {
  test("whole places, once, as many as there are", () => {
    const { host } = makeBench();
    const backing = createModelBacking(host, { maxPages: 3 });
    backing.back(2 * MIB, 4 * MIB);
    expect(expectCode("ERR_NETMEM_HUGE_RANGE", () => backing.back(4 * MIB, 2 * MIB))).toMatchObject({ errno: "EBUSY" });
    expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => backing.back(8 * MIB, 4 * MIB));
    for (const [from, bytes] of [
      [MIB, 2 * MIB],
      [8 * MIB, MIB],
      [8 * MIB, 0],
      [-2 * MIB, 2 * MIB],
      [31 * MIB, 2 * MIB],
      [30 * MIB, 4 * MIB],
    ]) {
      expectCode("ERR_NETMEM_INVALID_PARAM", () => backing.back(from!, bytes!));
    }
    backing.release(4 * MIB, 2 * MIB);
    expect(expectCode("ERR_NETMEM_HUGE_RANGE", () => backing.release(4 * MIB, 2 * MIB))).toMatchObject({
      errno: "EINVAL",
    });
    expect([backing.backedCount, backing.available()]).toEqual([1, 2]);
  });

  test("nonsense is refused", () => {
    const { host } = makeBench();
    for (const params of [
      { pageBytes: 3 * MIB },
      { pageBytes: 65536 },
      { firstOffset: 100 },
      { firstOffset: 2 * MIB },
    ]) {
      expectCode("ERR_NETMEM_INVALID_PARAM", () => createModelBacking(host, params));
    }
  });

  test("the hard limit holds for all who share it", () => {
    const { host } = makeBench();
    const limit = withHugeLimit(createModelBacking(host), 3);
    const a = createHugeProvider(host, { backing: limit, chunks: 2, name: "a" });
    const b = createHugeProvider(host, { backing: limit, chunks: 2, name: "b" });
    const pool = new BarePool(host, a);
    expect([limit.used, limit.available()]).toEqual([2, 1]);
    expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => new BarePool(host, b));
    expectCode("ERR_NETMEM_NO_HUGE_PAGES", () => limit.back(20 * MIB, 4 * MIB));
    pool.destroy();
    new BarePool(host, b).destroy();
    expect(limit.used).toBe(0);
  });
});

describe("places", () => {
  test.for([0, 4096, 65536, MIB, 2 * MIB - 4096])("arena %i bytes short of a huge-aligned address", (firstOffset) => {
    const bench = makeBench({ arenaBytes: 64 * MIB });
    const { host } = bench;
    const start = host.pages.freePageCount();
    const backing = createModelBacking(host, { firstOffset });
    const provider = createHugeProvider(host, { backing, chunks: 20, fallback: false });
    for (let round = 0; round < 2; round++) {
      const pool = new BarePool(host, provider);
      expect(backing.backedCount).toBe(20);
      const refs = pool.take(Infinity);
      expect([refs.length, new Set(idxsOf(refs)).size]).toEqual([20 * 512, 20 * 512]);
      // Blocks are taken whole: at an odd address up to one more than the places need.
      const used = start - host.pages.freePageCount();
      expect(used).toBeLessThanOrEqual(20 * 512 + (firstOffset === 0 ? 0 : 1024));
      pool.giveMany(refs);
      pool.destroy();
      expect([host.pages.freePageCount(), backing.backedCount]).toEqual([start, 0]);
    }
  });

  test("where blocks do not follow each other, places inside one block are found", () => {
    const { host } = makeBench({ arenaBytes: 64 * MIB });
    const places = new Places(host, createModelBacking(host, { firstOffset: 65536 }));
    const blocks: PageRef[] = [];
    for (let page = host.pages.allocPages(10); page !== 0; page = host.pages.allocPages(10)) blocks.push(page);
    for (const page of blocks.filter((one) => (idxOf(one) >> 10) % 2 === 0)) host.pages.freePage(page);
    const free = host.pages.freePageCount();
    const found = places.take(100, -1);
    expect(found.length).toBeGreaterThanOrEqual(6);
    for (const idx of found) expect([(idx - 16) % 512, (idx >> 10) % 2]).toEqual([0, 0]);
    for (const idx of found) places.give(idx);
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("a place that lies in blocks which are held already costs nothing more", () => {
    const { host } = makeBench({ arenaBytes: 64 * MIB });
    const places = new Places(host, createModelBacking(host, { firstOffset: 65536 }));
    const two = places.take(2, -1);
    const free = host.pages.freePageCount();
    const third = places.take(1, -1);
    expect([third.length, host.pages.freePageCount()]).toEqual([1, free]);
    for (const idx of [...two, ...third]) places.give(idx);
  });

  test("pages of a chunk are single pages while it is out, and one block when it is home", () => {
    const { host } = makeBench();
    const used = host.pages.allocPages(3);
    if (used !== 0) host.pages.freePage(used);
    const provider = createHugeProvider(host, { backing: createModelBacking(host), chunks: 1 });
    const pool = new BarePool(host, provider);
    const refs = pool.take(512);
    for (const ref of refs) expect(host.bufferBytes(ref)).toBe(4096);
    pool.giveMany(refs);
    pool.destroy();
    const blocks = Array.from({ length: 3 }, () => host.pages.allocPages(10));
    expect(blocks.every((block) => block !== 0 && host.bufferBytes(block) === 4 * MIB)).toBe(true);
  });
});

test("more runs than 16 bits number", () => {
  const { host } = makeBench();
  const table = new RunTable(host);
  const run = new PageRun(host, host.layout.firstPageIdx, 0, 0);
  for (let n = 0; n < 2 ** 16; n++) table.add(run);
  const last = new PageRun(host, host.layout.firstPageIdx, 0, 0);
  table.add(last);
  expect(table.find(makeRef(last.firstIdx, 0, 0))).toBe(last);
});

test("a run is a set: random takes and returns against a model", () => {
  const { host } = makeBench();
  const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
  console.log(`page run: NETMEM_SEED=${seed}`);
  const order = fc.integer({ min: 3, max: 9 });
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(600)), { maxLength: 60 });
  const property = fc.property(order, fc.nat(3), steps, (runOrder, unitOrder, script) => {
    const block = host.pages.allocPages(9);
    if (block === 0) throw new Error("no block");
    const run = new PageRun(host, idxOf(block), runOrder, unitOrder);
    const out = new Set<number>();
    const buffer = new Int32Array(600);
    for (const [takes, n] of script) {
      if (takes) {
        const got = run.take(buffer, 0, n);
        expect(got).toBe(Math.min(n, run.unitCount - out.size));
        for (const ref of buffer.subarray(0, got)) {
          expect(out.has(ref)).toBe(false);
          out.add(ref);
        }
      } else {
        for (const ref of [...out].slice(0, n)) {
          expect(run.put(ref)).toBe(true);
          expect(run.put(ref)).toBe(false);
          out.delete(ref);
        }
      }
      expect([run.freeCount, run.isWhole()]).toEqual([run.unitCount - out.size, out.size === 0]);
    }
    host.pages.freePage(block);
  });
  fc.assert(property, { seed, numRuns: 60 });
});

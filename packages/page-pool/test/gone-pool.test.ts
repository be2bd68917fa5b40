import { MemType, type NetmemRef, XdpRxqInfo } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { checkPoolInvariants, createPagePool, type PagePool } from "../src/index.ts";
import { type Bench, changes, expectCode, expectRefused, makeBench, makePool, take } from "./fixture.ts";

describe("2.11 a pool object after the pool is gone", () => {
  test("alloc and put throw coded errors, the counters stay, and the next owner of the record is not affected", () => {
    const bench = makeBench({ maxOwners: 8 });
    const old = makePool(bench, { name: "old" });
    const stale = take(old);
    old.recycleDirect(stale);
    const stats = old.getStats();
    old.destroy();
    const others = Array.from({ length: 5 }, () => makePool(bench, { directRecycle: "ownerThread" }));
    const heir = others.find(({ ownerId }) => ownerId === old.ownerId);
    const ref = take(heir!);
    expectRefused(bench.host, "ERR_NETMEM_POOL_DESTROYED", () => old.allocNetmem());
    for (const put of [
      (r: NetmemRef) => old.putFullPage(r),
      (r: NetmemRef) => old.recycleDirect(r),
      (r: NetmemRef) => old.putUnrefed(r, -1, true),
      (r: NetmemRef) => old.putFrag(r, 0, true),
    ]) {
      expectRefused(bench.host, "ERR_NETMEM_POOL_DESTROYED", () => put(ref));
      expectRefused(bench.host, "ERR_NETMEM_POOL_DESTROYED", () => put(stale));
    }
    expect([old.inflight(), old.outside(), old.getDmaAddr(ref)]).toEqual([0, [], 0]);
    old.enableDirectRecycling(bench.napi);
    old.disableDirectRecycling();
    bench.host.context.hardirq = true;
    bench.host.context.hardirq = false;
    expect(old.getStats()).toEqual(stats);
    expect(old.destroy()).toBe(true);
    checkPoolInvariants(heir!);
    expect(changes(heir!, () => heir!.putFullPage(ref))).toEqual({ cached: 1, inCache: 1 });
    expect(heir!.getStats().alloc).toMatchObject({ slow: 1 });
  });
});

describe("the memory registry", () => {
  const disconnects = (bench: Bench, pool: PagePool): { readonly id: number; count: number } => {
    const seen = { id: bench.host.mem.register(pool), count: 0 };
    const forget = pool.disconnect!;
    pool.disconnect = () => {
      seen.count++;
      forget();
    };
    return seen;
  };

  test("#139 disconnect runs once, at the final free, before DEL", () => {
    const bench = makeBench();
    const pool = makePool(bench);
    const ref = take(pool);
    const seen = disconnects(bench, pool);
    let seenAtDel = -1;
    bench.host.pools.subscribe((kind) => {
      if (kind === "del") seenAtDel = seen.count;
    });
    pool.destroy();
    bench.host.mem.unregister(seen.id);
    expect([seen.count, bench.host.mem.lookup(seen.id)]).toEqual([0, pool]);
    pool.putFullPage(ref);
    bench.clock.advance(1000);
    expect([seen.count, seenAtDel, bench.host.mem.lookup(seen.id)]).toEqual([1, 1, null]);
  });

  test.each(["destroy first", "unregister first"])("2.11 a queue's memory model, %s: both are needed", (order) => {
    const bench = makeBench();
    const { mem } = bench.host;
    const pool = makePool(bench);
    const rxq = new XdpRxqInfo();
    mem.regRxqInfo(rxq, 2, 0, 0);
    mem.regMemModel(rxq, MemType.PagePool, pool);
    const { id } = rxq.mem;
    const steps = [() => void pool.destroy(), () => mem.unregMemModel(rxq)];
    if (order !== "destroy first") steps.reverse();
    steps[0]!();
    expect([pool.freed, mem.lookup(id)]).toEqual([false, pool]);
    pool.putFullPage(take(pool));
    steps[1]!();
    expect([pool.freed, mem.lookup(id), rxq.mem.id]).toEqual([true, null, 0]);
  });

  test("2.11 registered twice: two ids, both vanish with the pool", () => {
    const bench = makeBench();
    const pool = createPagePool(bench.host);
    const ids = [bench.host.mem.register(pool), bench.host.mem.register(pool)];
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) bench.host.mem.unregister(id);
    expect(ids.map((id) => bench.host.mem.lookup(id))).toEqual([pool, pool]);
    expect(pool.destroy()).toBe(true);
    expect(ids.map((id) => bench.host.mem.lookup(id))).toEqual([null, null]);
    expectCode("ERR_NETMEM_MEM_ID_UNKNOWN", () => bench.host.mem.unregister(ids[0]!));
  });
});

import {
  createHost,
  type Host,
  type HostParams,
  type Napi,
  type NetmemRef,
  type NetmemWarning,
  OWN_HOLD,
  OWN_RELEASE,
} from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";
import { createPagePool, type PagePool, type PagePoolParams } from "../src/index.ts";

/** CPU on which {@link Bench.napi} polls. */
export const POLL_CPU = 3;

export interface Bench {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly napi: Napi;
}

/** A host with a clock that the test turns and a NAPI instance; the context is R-ctx: not in softirq. */
export function makeBench(params: Partial<HostParams> = {}): Bench {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
    ...params,
  });
  return { host, clock, warnings, napi: { id: 7, listOwner: POLL_CPU } };
}

/** A pool under the kernel's rule for direct recycling. */
export function makePool(bench: Bench, params: PagePoolParams = {}): PagePool {
  return createPagePool(bench.host, { directRecycle: "napi", napi: bench.napi, ...params });
}

/** N-ctx: inside the poll of the pool's NAPI. */
export function enterPoll(bench: Bench): void {
  bench.host.context.softirq = true;
  bench.host.context.cpu = POLL_CPU;
}

/** R-ctx: not in softirq. */
export function leavePoll(bench: Bench): void {
  bench.host.context.softirq = false;
}

/** An allocation that must succeed. */
export function take(pool: PagePool): NetmemRef {
  const ref = pool.allocNetmem();
  if (ref === 0) throw new Error("the pool is exhausted");
  return ref;
}

export function takeMany(pool: PagePool, count: number): NetmemRef[] {
  return Array.from({ length: count }, () => take(pool));
}

/** A fragment that must succeed, and where it lies. */
export function takeFrag(pool: PagePool, sizeBytes: number): { readonly ref: NetmemRef; readonly offset: number } {
  const ref = pool.allocFrag(sizeBytes);
  if (ref === 0) throw new Error("no fragment");
  return { ref, offset: pool.lastOffset };
}

/** The eleven counters, the two accounting counters and the occupancies, flat. */
export function books(pool: PagePool): Record<string, number> {
  const { alloc, recycle } = pool.getStats();
  return {
    ...alloc,
    ...recycle,
    hold: pool.i32[pool.at + OWN_HOLD]! >>> 0,
    rel: pool.i32[pool.at + OWN_RELEASE]! >>> 0,
    inCache: pool.i32[pool.at]!,
    inRing: pool.freed ? 0 : pool.ring.count,
  };
}

/** What `act` changed in the pool's books; what it left alone is absent, so `toEqual` also says "nothing else". */
export function changes(pool: PagePool, act: () => void): Record<string, number> {
  const before = books(pool);
  act();
  const after = books(pool);
  const moved = Object.keys(after).filter((name) => after[name] !== before[name]);
  return Object.fromEntries(moved.map((name) => [name, after[name]! - before[name]!]));
}

/** Fills the alloc cache to `count` by direct puts of buffers from the slow path. */
export function fillCache(pool: PagePool, count: number): void {
  const refs = takeMany(pool, count);
  emptyCache(pool);
  for (const ref of refs) pool.recycleDirect(ref);
}

/** Takes what the cache holds without touching the ring; the caller drops the references. */
export function emptyCache(pool: PagePool): NetmemRef[] {
  return takeMany(pool, pool.i32[pool.at]!);
}

/** Every control word of the arena: table, owner records, lists. Packet pages are not compared. */
function snapshot(host: Host): Int32Array {
  return host.i32.slice(0, (host.layout.firstPageIdx << host.pageShift) >> 2);
}

/** Runs `misuse`, which must throw a netmem error with this code and change nothing in the host. Returns the error. */
export function expectRefused(host: Host, code: string | RegExp, misuse: () => unknown): Record<string, unknown> {
  const before = snapshot(host);
  const error = expectCode(code, misuse);
  expect(before.findIndex((word, at) => word !== host.i32[at])).toBe(-1);
  return error;
}

/** Runs `act`, which must throw a netmem error with this code. Returns the error. */
export function expectCode(code: string | RegExp, act: () => unknown): Record<string, unknown> {
  let error: unknown;
  try {
    act();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ name: "NetmemError", code: expect.stringMatching(code) });
  return error as Record<string, unknown>;
}

/** The codes of the warnings so far. */
export function codesOf(bench: Bench): string[] {
  return bench.warnings.map(({ code }) => code);
}

/** Free pages of the host's page allocator. */
export function freePages(bench: Bench): number {
  return bench.host.pages.freePageCount();
}

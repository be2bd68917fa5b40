import {
  compoundHead,
  getNetmem,
  idxOf,
  type NetmemRef,
  putNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  setPfmemalloc,
} from "@netmem/core";
import { Prng } from "@netmem/testing";
import { books } from "../fixture.ts";
import { type Buffer, type BookName, check, isRecyclable, type PoolLedger } from "./ledger.ts";
import { alloc, allocBulk, allocPiece } from "./alloc-commands.ts";
import { misuse } from "./misuse-commands.ts";
import { KINDS, type World } from "./world.ts";

/** One step: which command, and two numbers that it interprets. */
export type Command = readonly [op: number, x: number, y: number];

type Run = (world: World, x: number, y: number) => void;

type Put = (buffer: Buffer) => void;

/** Whether a put with this promise goes into the cache if there is room. */
function isDirect({ home }: Buffer, allowDirect: boolean): boolean {
  const { context } = home.pool.host;
  if (home.destroyed) return false;
  if (allowDirect) return true;
  if (home.byThread) return home.promote;
  const listOwner = home.napi?.listOwner ?? -2;
  return context.softirq && (listOwner === context.cpu || home.cpuid === context.cpu);
}

/** What a put must change in the books, from what the pool looks like before it. */
function expectPut(buffer: Buffer, isLast: boolean, allowDirect: boolean): Partial<Record<BookName, number>> {
  const { pool } = buffer.home;
  if (!isLast) return {};
  if (!isRecyclable(buffer)) return { releasedRefcnt: 1, rel: 1 };
  const direct = isDirect(buffer, allowDirect);
  if (direct && pool.i32[pool.at]! < pool.cacheSize) return { cached: 1, inCache: 1 };
  const ringed = pool.ring.isFull() ? { ringFull: 1, rel: 1 } : { ring: 1, inRing: 1 };
  return direct ? { cacheFull: 1, ...ringed } : ringed;
}

/** Runs one put of one piece and checks that the books moved as they must. */
function checkedPut(world: World, buffer: Buffer, allowDirect: boolean, put: Put): void {
  const { home } = buffer;
  const isLast = buffer.pieces === 1 && home.frag !== buffer;
  const expected = expectPut(buffer, isLast, allowDirect);
  const before = books(home.pool);
  put(buffer);
  world.dropPiece(buffer);
  if (home.pool.freed || home.debug) return;
  const after = books(home.pool);
  for (const name of Object.keys(before)) {
    const moved = after[name]! - before[name]!;
    check(
      moved === (expected[name as BookName] ?? 0),
      () => `${home.pool.name}: ${name} moved by ${moved}, expected ${JSON.stringify(expected)}`,
    );
  }
}

const putVariants: readonly [allowDirect: (world: World) => boolean, put: (buffer: Buffer, y: number) => void][] = [
  [() => false, ({ home, ref }, y) => home.pool.put(ref, (y % 5000) - 1, false)],
  [() => true, ({ home, ref }, y) => home.pool.put(ref, (y % 5000) - 1, true)],
  [() => false, ({ home, ref }) => home.pool.putPage(ref)],
  [() => true, ({ home, ref }) => home.pool.putFullPage(ref, true)],
  [() => true, ({ home, ref }) => home.pool.recycleDirect(ref)],
  [() => false, ({ home, ref }) => returnNetmem(home.pool.host, ref)],
  [({ host }) => !host.context.noDirect, ({ home, ref }) => returnNetmemRxNapi(home.pool.host, ref)],
  [() => false, ({ home, ref }) => returnNetmemBulk(home.pool.host, Int32Array.of(ref), 1)],
];

function put(world: World, x: number, y: number): void {
  const buffer = world.pickBuffer(x);
  if (buffer === null) return;
  const { pool, niov, frag } = buffer.home;
  const allowDirect = (y & 64) !== 0;
  const variant = putVariants[y % 10];
  const offset = buffer.offsets.pop();
  if (offset !== undefined) {
    checkedPut(world, buffer, allowDirect, ({ ref }) => pool.putFrag(ref, offset, allowDirect));
  } else if (variant !== undefined) {
    checkedPut(world, buffer, variant[0](world), (b) => variant[1](b, y));
  } else if (y % 10 === 8 && buffer.pieces === 1 && frag !== buffer) {
    checkedPut(world, buffer, allowDirect, ({ ref }) => pool.putUnrefed(ref, -1, allowDirect));
  } else if (!niov) {
    const va = world.host.offsetOf(buffer.ref as never) + (x % pool.bufferBytes);
    checkedPut(world, buffer, allowDirect, () => pool.freeVa(va, allowDirect));
  }
}

/** One to 40 pieces of any pools in one call, with a bad entry now and then. */
function bulk(world: World, x: number, y: number): void {
  if (world.pools.length === 0) return;
  const prng = new Prng(x * 65_536 + y);
  const viaPool = prng.bool(0.7);
  const entries: Buffer[] = [];
  const left = new Map<Buffer, number>();
  for (let n = prng.range(1, 40); n > 0; n--) {
    const buffer = world.pickBuffer(prng.below(1000), (b) => b.offsets.length === 0 && (left.get(b) ?? b.pieces) > 0);
    if (buffer === null) break;
    left.set(buffer, (left.get(buffer) ?? buffer.pieces) - 1);
    entries.push(buffer);
  }
  const refs = entries.map(({ home, ref }) =>
    viaPool && !home.niov && home.pool.order > 0 ? ref + 2 * prng.below(4) : ref,
  );
  const bad = world.dead.find((ref) => !namesLive(world, ref));
  const badAt = bad !== undefined && prng.bool(0.15) ? prng.below(refs.length + 1) : -1;
  if (badAt >= 0) refs.splice(badAt, 0, bad!);
  const home = entries.slice(0, badAt < 0 ? entries.length : badAt);
  const through = prng.pick(world.pools);
  const before = new Map(world.pools.map((ledger) => [ledger, books(ledger.pool)]));
  callBulk(world, viaPool ? through : null, Int32Array.from(refs), badAt);
  for (const buffer of home) world.dropPiece(buffer);
  for (const [ledger, was] of before) noteDrops(ledger, was, viaPool);
}

/**
 * Whether a dead reference happens to fit a live buffer: its own page again, or, in a bulk put, the block whose tail its
 * page has become, with the same generation. That is the one in 512 that no check can see.
 */
function namesLive(world: World, ref: NetmemRef): boolean {
  const head = compoundHead(world.host, ref);
  return world.isLive(ref) || (head !== 0 && world.isLive(head));
}

function callBulk(world: World, through: PoolLedger | null, refs: Int32Array, badAt: number): void {
  let param: unknown;
  try {
    if (through === null) returnNetmemBulk(world.host, refs, refs.length);
    else through.pool.putNetmemBulk(refs, refs.length);
  } catch (error) {
    param = (error as { param?: string }).param ?? error;
  }
  const wanted = badAt < 0 ? undefined : `refs[${badAt}]`;
  if (param !== wanted) throw new Error(`bulk: ${String(param)} instead of ${String(wanted)}`, { cause: param });
}

/** Learns how many buffers a bulk call dropped beyond what `ring_full` says. */
function noteDrops(ledger: PoolLedger, was: Record<string, number>, viaPool: boolean): void {
  if (ledger.pool.freed) return;
  const now = books(ledger.pool);
  const dropped = now["rel"]! - was["rel"]! - (now["releasedRefcnt"]! - was["releasedRefcnt"]!);
  const rounds = now["ringFull"]! - was["ringFull"]!;
  const fits = viaPool ? rounds <= Math.min(3, dropped) && dropped <= rounds * 16 : rounds === dropped;
  check(fits, () => `${ledger.pool.name}: ${dropped} dropped in ${rounds} rounds`);
  ledger.bulkDrops += dropped - rounds;
}

function refs(world: World, x: number, y: number): void {
  const buffer = world.pickBuffer(x, (b) => b.offsets.length === 0);
  if (buffer === null) return;
  const { pool, frag } = buffer.home;
  const n = 1 + (y % 5);
  if (y % 3 === 0) {
    pool.refNetmem(buffer.ref);
    buffer.pieces++;
  } else if (frag === buffer) {
    return;
  } else if (y % 3 === 1 && buffer.pieces === 1) {
    pool.fragmentNetmem(buffer.ref, n);
    buffer.pieces = n;
  } else {
    unref(world, buffer, Math.min(n, buffer.pieces), (y & 64) !== 0);
  }
}

/** Driver bias: drops some references without recycling; the last one goes home by `putUnrefed`. */
function unref(world: World, buffer: Buffer, n: number, allowDirect: boolean): void {
  const left = buffer.home.pool.unrefNetmem(buffer.ref, n);
  check(left === buffer.pieces - n, () => `unref(${n}) of ${buffer.pieces} left ${left}`);
  buffer.pieces = Math.max(1, left);
  if (left === 0) checkedPut(world, buffer, allowDirect, ({ home, ref }) => home.pool.putUnrefed(ref, 64, allowDirect));
}

function pageRefs(world: World, x: number, y: number): void {
  const plain = world.plains[x % Math.max(1, world.plains.length)];
  if (y % 3 === 0 && plain !== undefined) {
    putNetmem(world.host, plain.ref);
    if (--plain.refs > 0) return;
    world.plains.splice(world.plains.indexOf(plain), 1);
    world.bury(plain.ref);
    return;
  }
  const buffer = world.pickBuffer(x, (b) => !b.home.niov && b.home.pool.order === 0 && (y % 3 === 1 || b.pageRefs > 0));
  if (buffer === null) return;
  const step = y % 3 === 1 ? 1 : -1;
  if (step > 0) getNetmem(world.host, buffer.ref);
  else putNetmem(world.host, buffer.ref);
  buffer.pageRefs += step;
}

function pfmemalloc(world: World, x: number): void {
  const buffer = world.pickBuffer(x, (b) => !b.home.niov);
  if (buffer === null) return;
  setPfmemalloc(world.host, buffer.ref);
  buffer.pfmemalloc = true;
}

function context(world: World, x: number, y: number): void {
  Object.assign(world.host.context, { softirq: (x & 3) !== 0, cpu: y % 4, noDirect: (x & 12) === 0 });
  for (const [n, napi] of world.napis.entries()) napi.listOwner = ((x >>> (4 + 3 * n)) % 5) - 1;
}

function direct(world: World, x: number, y: number): void {
  const home = world.pickPool(x);
  if (home === null) return;
  home.promote = home.napi === null && !home.promote;
  home.napi = home.promote ? world.napis[y % 2]! : null;
  home.cpuid = -1;
  if (home.napi === null) home.pool.disableDirectRecycling();
  else home.pool.enableDirectRecycling(home.napi);
}

function faults(world: World, x: number, y: number): void {
  const f = world.faults;
  for (const point of ["pages.bulk", "pages.alloc", "provider.alloc", "dma.map"]) f.failNever(point);
  if (x % 7 === 0) f.limitBulk("pages.bulk", y % 70);
  if (x % 7 === 1) f.failAlways("pages.bulk");
  if (x % 7 === 2) f.failAlways("pages.alloc");
  if (x % 7 === 3) f.failAlways("provider.alloc");
  if (x % 7 === 4) f.failWithProbability("dma.map", 0.3);
}

/** The thread moves to another node, or a pool does. */
function node(world: World, x: number, y: number): void {
  if (y % 3 === 0) world.host.context.nid = x & 1;
  else world.pickPool(x)?.pool.nidChanged(((y >>> 2) % 3) - 1);
}

/** The page allocator wants idle pages back. */
function shrink(world: World, x: number, y: number): void {
  const idle = world.pools.reduce((n, { pool, niov }) => n + (niov ? 0 : idlePages(pool)), 0);
  const target = 1 + (y % (x % 4 === 0 ? 1000 : 20));
  const got = world.host.shrinkers.reclaim(target);
  check(got <= idle && got >= Math.min(idle, target), () => `${got} of ${idle} idle pages for ${target}`);
}

function idlePages(pool: PoolLedger["pool"]): number {
  return (pool.ring.count + pool.i32[pool.at]!) << pool.order;
}

function destroy(world: World, x: number, y: number): void {
  const home = world.pickPool(x);
  if (home === null) return;
  const steps = [(): void => void home.pool.destroy()];
  if (home.memId !== 0) steps.push(() => world.host.mem.unregister(home.memId));
  if (y % 2 === 0) steps.reverse();
  for (const step of steps) step();
  home.destroyed = true;
  world.leaveFrag(home);
  const outside = world.outsideOf(home);
  check(home.pool.freed === (outside === 0), () => `${home.pool.name} freed: ${home.pool.freed}, outside ${outside}`);
}

function advance(world: World, _x: number, y: number): void {
  world.clock.advance(y % 2500);
}

function wait(world: World, x: number): void {
  const home = world.pools[x % Math.max(1, world.pools.length)];
  home?.pool.drained({ timeoutMs: 400 }).catch(() => {});
}

/** Every piece of one pool comes home, one by one. */
function reclaim(world: World, x: number, y: number): void {
  const home = world.pools[x % Math.max(1, world.pools.length)];
  const isOf = (buffer: Buffer): boolean => buffer.home === home;
  for (let buffer = world.pickBuffer(y, isOf); buffer !== null; buffer = world.pickBuffer(y, isOf)) {
    put(world, world.buffers.indexOf(buffer), y++);
  }
}

function create(world: World, x: number, y: number): void {
  world.create(x % KINDS, 3 + (y % 62));
}

const table: readonly (readonly [weight: number, run: Run])[] = [
  [16, alloc],
  [3, allocBulk],
  [16, allocPiece],
  [34, put],
  [6, bulk],
  [1, reclaim],
  [6, refs],
  [4, pageRefs],
  [1, pfmemalloc],
  [3, context],
  [1, direct],
  [2, faults],
  [8, misuse],
  [2, node],
  [1, shrink],
  [1, destroy],
  [1, wait],
  [2, advance],
  [2, create],
];

const byOp: readonly Run[] = table.flatMap(([weight, run]) => Array.from({ length: weight }, () => run));

/** Number of values that `op` can have. */
export const OPS: number = byOp.length;

/** One command, and everything that must hold after it. */
export function run(world: World, [op, x, y]: Command): void {
  byOp[op % OPS]!(world, x, y);
  world.check();
}

/** Everything goes home; nothing may be left. */
export function finish(world: World): void {
  faults(world, 6, 0);
  for (let buffer = world.pickBuffer(0); buffer !== null; buffer = world.pickBuffer(0)) {
    while (buffer.pageRefs > 0) {
      putNetmem(world.host, buffer.ref);
      buffer.pageRefs--;
    }
    put(world, world.buffers.indexOf(buffer), 0);
  }
  while (world.plains.length > 0) pageRefs(world, 0, 0);
  for (let n = world.pools.length; n > 0; n--) destroy(world, 0, n);
  world.clock.advance(1000);
  world.check();
  check(world.pools.length === 0 && world.buffers.length === 0, () => `${world.pools.length} pools are left`);
  check(world.dma.live.size === 0, () => "mappings are left");
  check(new Set(world.provider.free.map(idxOf)).size === world.provider.area.count, () => "net_iovs are lost");
}

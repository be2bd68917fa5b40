import { asNetmemRef, type NetmemRef, OWN_STACK, putNetmem, returnNetmem, returnNetmemBulk } from "@netmem/core";
import type { PagePool } from "../../src/index.ts";
import { check, type PoolLedger } from "./ledger.ts";
import type { World } from "./world.ts";

/** Runs what must throw a coded error and leave every control word of the arena alone. */
function refuse(world: World, what: string, act: () => unknown): void {
  const { host } = world;
  const before = host.i32.slice(0, host.layout.firstPageIdx << 10);
  let code = "nothing";
  try {
    act();
  } catch (error) {
    code = (error as { code?: string }).code ?? String(error);
  }
  check(code.startsWith("ERR_NETMEM_"), () => `${what} threw ${code}`);
  for (let at = 0; at < before.length; at++) check(before[at] === host.i32[at], () => `${what} changed word ${at}`);
}

const poolPuts: readonly ((pool: PagePool, ref: NetmemRef) => void)[] = [
  (pool, ref) => pool.put(ref, -1, false),
  (pool, ref) => pool.put(ref, 64, true),
  (pool, ref) => pool.recycleDirect(ref),
  (pool, ref) => pool.putUnrefed(ref, -1, true),
  (pool, ref) => pool.putFrag(ref, 0, false),
];

const anyPuts: readonly ((pool: PagePool, ref: NetmemRef) => void)[] = [
  ...poolPuts,
  (pool, ref) => pool.putNetmemBulk(Int32Array.of(ref), 1),
  ({ host }, ref) => returnNetmem(host, ref),
  ({ host }, ref) => returnNetmemBulk(host, Int32Array.of(ref), 1),
  ({ host }, ref) => putNetmem(host, ref),
  (pool, ref) => pool.refNetmem(ref),
  (pool, ref) => pool.fragmentNetmem(ref, 2),
  (pool, ref) => void pool.unrefNetmem(ref, 1),
];

type Misuse = (world: World, home: PoolLedger, x: number, y: number) => void;

function dead(world: World, { pool }: PoolLedger, x: number, y: number): void {
  const ref = world.dead[x % Math.max(1, world.dead.length)];
  if (ref === undefined || world.isLive(ref)) return;
  refuse(world, `a dead ref ${ref}`, () => anyPuts[y % anyPuts.length]!(pool, ref));
}

function foreign(world: World, { pool }: PoolLedger, x: number, y: number): void {
  const buffer = world.pickBuffer(x, ({ home }) => home.pool !== pool);
  if (buffer === null) return;
  refuse(world, `a ref of ${buffer.home.pool.name}`, () => poolPuts[y % poolPuts.length]!(pool, buffer.ref));
}

function cached(world: World, { pool }: PoolLedger, x: number, y: number): void {
  const count = pool.i32[pool.at]!;
  if (count === 0) return;
  const ref = asNetmemRef(pool.i32[pool.at + OWN_STACK + (x % count)]!);
  refuse(world, `a ref of the cache`, () => anyPuts[y % anyPuts.length]!(pool, ref));
}

function garbage(world: World, { pool }: PoolLedger, x: number, y: number): void {
  const ref = asNetmemRef(x * 32_749 - y);
  if (world.isLive(ref & 0x3fffffff) || world.isLive((ref ^ 1) & 0x3fffffff)) return;
  if (!Number.isInteger(ref) || plainIsLive(world, ref)) return;
  refuse(world, `garbage ${ref}`, () => poolPuts[y % poolPuts.length]!(pool, ref));
}

/** Control pages are live plain pages that the model does not list; no pool may take them either. */
function plainIsLive(world: World, ref: number): boolean {
  return world.plains.some((plain) => plain.ref === (ref & 0x3ffffffe));
}

function counts(world: World, _home: PoolLedger, x: number, y: number): void {
  const buffer = world.pickBuffer(x, (b) => b.home.frag === b || b.pieces > 1);
  if (buffer === null) return;
  const { pool, frag } = buffer.home;
  const { ref, pieces } = buffer;
  if (y % 3 === 0) refuse(world, "putUnrefed", () => pool.putUnrefed(ref, -1, true));
  else if (y % 3 === 1) refuse(world, "fragment", () => pool.fragmentNetmem(ref, 1 + (y % 9)));
  else if (frag !== buffer) refuse(world, "unref", () => pool.unrefNetmem(ref, pieces + 1 + (y % 9)));
}

function hardirq(world: World, _home: PoolLedger, x: number, y: number): void {
  const buffer = world.pickBuffer(x);
  if (buffer === null) return;
  world.host.context.hardirq = true;
  const puts = [...poolPuts, anyPuts[poolPuts.length]!, anyPuts[poolPuts.length + 1]!];
  refuse(world, "a put in hardirq", () => puts[y % puts.length]!(buffer.home.pool, buffer.ref));
  world.host.context.hardirq = false;
}

function poolPage(world: World, _home: PoolLedger, x: number): void {
  const buffer = world.pickBuffer(x, (b) => !b.home.niov && b.pageRefs === 0);
  if (buffer !== null) refuse(world, "putNetmem", () => putNetmem(world.host, buffer.ref));
}

function sameFragment(world: World, _home: PoolLedger, x: number, y: number): void {
  const buffer = world.pickBuffer(x, (b) => b.offsets.length > 0);
  if (buffer === null) return;
  const offset = y % 4000;
  if (buffer.offsets.includes(offset)) return;
  refuse(world, "a fragment that is not out", () => buffer.home.pool.putFrag(buffer.ref, offset, true));
}

function destroyed(world: World, _home: PoolLedger, x: number): void {
  const gone = world.pools.find((ledger) => ledger.destroyed)?.pool;
  if (gone === undefined) return;
  const calls = [
    () => gone.allocNetmem(),
    () => gone.allocBulk(new Int32Array(9), 9),
    () => gone.allocFrag(9),
    () => gone.alloc(9),
    () => gone.get(),
    () => world.host.mem.register(gone),
  ];
  refuse(world, "a destroyed pool", calls[x % calls.length]!);
}

const all: readonly Misuse[] = [
  dead,
  dead,
  foreign,
  cached,
  garbage,
  counts,
  hardirq,
  poolPage,
  sameFragment,
  destroyed,
];

/** One deliberate mistake. */
export function misuse(world: World, x: number, y: number): void {
  const home = world.pools[x % Math.max(1, world.pools.length)];
  if (home !== undefined) all[y % all.length]!(world, home, x >>> 2, (y / all.length) | 0);
}

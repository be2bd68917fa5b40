import { asNetmemRef, type NetmemRef } from "@netmem/core";
import { check, fail, isRecyclable, type PoolLedger } from "./ledger.ts";
import type { World } from "./world.ts";

/** One buffer. */
export function alloc(world: World, x: number, y: number): void {
  const home = world.pickPool(x);
  if (home === null) return;
  if (home.niov && y % 8 === 0) return allocPagesOfNiovs(home);
  const ref = home.niov || y % 2 === 0 ? home.pool.allocNetmem() : home.pool.allocPages();
  if (ref !== 0) world.adopt(home, ref);
}

function allocPagesOfNiovs(home: PoolLedger): void {
  try {
    check(home.pool.allocPages() === 0, () => "allocPages gave a net_iov");
  } catch (error) {
    if ((error as { code?: string }).code !== "ERR_NETMEM_NOT_A_PAGE") throw error;
    home.allocs++;
    home.puts++;
  }
}

/** Up to 200 buffers. */
export function allocBulk(world: World, x: number, y: number): void {
  const home = world.pickPool(x);
  if (home === null) return;
  const out = new Int32Array(200);
  const count = home.pool.allocBulk(out, y % (x % 8 === 0 ? 200 : 40));
  for (let n = 0; n < count; n++) world.adopt(home, asNetmemRef(out[n]!));
}

/** A piece of the fragment page, or a whole buffer. */
export function allocPiece(world: World, x: number, y: number): void {
  const home = world.pickPool(x);
  if (home === null) return;
  const { pool } = home;
  const size = 1 + ((y >>> 2) % (pool.bufferBytes >> (y & 3)));
  const kind = x % 3;
  if (kind > 0 && size * 2 > pool.bufferBytes) {
    const ref = pool.alloc(size);
    if (ref !== 0) world.adopt(home, ref);
    return;
  }
  notePiece(world, home, kind === 0 ? pool.allocFrag(size) : pool.alloc(size));
}

/** Follows the pool's fragment page from what an allocation returned. */
function notePiece(world: World, home: PoolLedger, ref: NetmemRef | 0): void {
  const page = home.frag;
  if (page !== null && ref === page.ref) {
    page.pieces++;
  } else if (page !== null && page.pieces === 0 && isRecyclable(page)) {
    world.restart(page, ref === 0 ? fail("an idle fragment page was not used again") : ref);
    page.offsets.length = 0;
  } else {
    world.leaveFrag(home);
    if (ref !== 0) home.frag = world.adopt(home, ref);
  }
  if (home.debug && home.frag !== null) home.frag.offsets.push(home.pool.lastOffset);
}

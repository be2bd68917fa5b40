import { failParam, type Napi, OWN_MEM_ID } from "@netmem/core";
import { failDestroyed, failNapi } from "./pool-errors.ts";
import type { PoolState } from "./pool-state.ts";
import { applyMode } from "./slow-mode.ts";

/** One more control-path user. @throws `ERR_NETMEM_POOL_DESTROYED` */
export function addUser(pool: PoolState, what: string): void {
  if (pool.userCount === 0) failDestroyed(pool, what);
  pool.userCount++;
}

/** Control path: the memory registry becomes a user, to be told when the last buffer is home. */
export function addRegistration(pool: PoolState, memId: number, disconnect: () => void): void {
  addUser(pool, "a registration");
  pool.memId = memId;
  pool.i32[pool.at + OWN_MEM_ID] = memId;
  const earlier = pool.disconnect;
  pool.disconnect = earlier === null ? disconnect : () => (earlier(), disconnect());
}

/** Ties a pool to a NAPI: see `PagePool.enableDirectRecycling`. */
export function enableDirect(pool: PoolState, napi: Napi): void {
  if ((napi as Napi | null | undefined) == null)
    failParam("napi", napi, "a Napi", "Pass the NAPI that polls the queue.");
  if (pool.napi === napi && pool.promote) return;
  if (pool.napi !== null && pool.napi !== napi) failNapi(pool.napi, napi);
  pool.napi = napi;
  pool.promote = true;
  applyMode(pool);
}

/** Unties it. */
export function disableDirect(pool: PoolState): void {
  pool.napi = null;
  pool.cpuid = -1;
  pool.promote = false;
  applyMode(pool);
}

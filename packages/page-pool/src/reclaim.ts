import { asNetmemRef, type Shrinker } from "@netmem/core";
import type { PoolState } from "./pool-state.ts";
import { popCache, releaseFromPool } from "./release.ts";

/**
 * Gives a pool's idle pages back when the page allocator runs dry: what waits in the ring first, oldest first, then the
 * cache. Called at any time, also from inside the pool's own refill: the cache is empty then, and nobody reads the ring.
 */
class PoolShrinker implements Shrinker {
  readonly name: string;
  private readonly pool: PoolState;

  constructor(pool: PoolState) {
    this.name = `${pool.params.name} ${pool.id}`;
    this.pool = pool;
  }

  count(): number {
    const { pool } = this;
    return (pool.i32[pool.at]! + pool.ring.count) << pool.order;
  }

  scan(target: number): number {
    const { pool } = this;
    const wanted = Math.ceil(target / 2 ** pool.order);
    let buffers = 0;
    for (let ref = 0; buffers < wanted && (ref = pool.ring.consume()) !== 0; buffers++) {
      releaseFromPool(pool, asNetmemRef(ref));
    }
    buffers += popCache(pool, wanted - buffers);
    pool.life.reclaimed += buffers;
    return buffers << pool.order;
  }
}

/** Registers the pool with its host's page allocator, until it is gone. Buffers of a provider are the provider's. */
export function registerShrinker(pool: PoolState): void {
  if (pool.provider !== null || !pool.params.reclaim) return;
  pool.life.undo.push(pool.host.shrinkers.add(new PoolShrinker(pool)));
}

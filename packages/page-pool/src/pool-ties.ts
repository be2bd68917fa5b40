import { asNetmemRef, type HardirqListener, type Shrinker } from "@netmem/core";
import { type PoolState, SlowBit } from "./pool-state.ts";
import { popCache, releaseFromPool } from "./release.ts";
import { setSlow } from "./slow-mode.ts";

/**
 * What a pool is to its host. It hears of hard-interrupt context. When the page allocator runs dry it gives idle pages
 * back: what waits in the ring first, oldest first, then the cache; at any time, also from inside the pool's own refill:
 * the cache is empty then, and nobody reads the ring.
 */
export class PoolTies implements Shrinker, HardirqListener {
  private readonly pool: PoolState;

  constructor(pool: PoolState) {
    this.pool = pool;
  }

  get name(): string {
    return `${this.pool.params.name} ${this.pool.id}`;
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

  hardirqChanged(): void {
    setSlow(this.pool, SlowBit.Hardirq, this.pool.host.context.hardirq);
  }
}

/** Ties the pool to its host until {@link untiePool}. Buffers of a provider are the provider's to give back. */
export function tiePool(pool: PoolState): void {
  const { host } = pool;
  const ties = new PoolTies(pool);
  pool.life.ties = ties;
  ties.hardirqChanged();
  host.context.addHardirqListener(ties);
  if (pool.provider === null && pool.params.reclaim) host.shrinkers.add(ties);
}

export function untiePool({ life, host }: PoolState): void {
  if (life.ties === null) return;
  host.context.removeHardirqListener(life.ties);
  host.shrinkers.remove(life.ties);
  life.ties = null;
}

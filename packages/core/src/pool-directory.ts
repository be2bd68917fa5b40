import { NetmemError } from "./errors.ts";
import type { MemoryProviderOps, RxQueueInfo } from "./memory-provider.ts";

/** One pool as introspection shows it; the attributes and names of the kernel's `netdev` netlink family. */
export interface PagePoolRecord {
  readonly id: number;
  /** Absent for a pool whose device went away, or that never had one. */
  readonly ifindex?: number;
  readonly napiId?: number;
  /** Buffers that left the allocator and did not go back, never below 0. */
  readonly inflight: number;
  /** The same in bytes. */
  readonly inflightMem: number;
  /** Seconds on the host's clock; only while destroyed with buffers out. */
  readonly detachTime?: number;
  /** What the pool's provider adds. */
  readonly info?: Readonly<Record<string, number | string>>;
}

/** A pool that can be listed. */
export interface ListedPool {
  readonly name: string;
  /** Queue that it feeds, null or absent for none. */
  readonly rxq?: RxQueueInfo | null;
  /** Provider that it takes its buffers from, null or absent for the page allocator. */
  readonly provider?: MemoryProviderOps | null;
  describe(): PagePoolRecord;
  /** Resolves when no user holds a buffer. */
  drained?(): Promise<void>;
}

export type PoolEventKind = "add" | "change" | "del";
export type PoolListener = (kind: PoolEventKind, record: PagePoolRecord) => void;

const ID_MAX = 0x7fffffff;

/**
 * Every pool of this thread, live or detached, with add / change / del events. Ids are unique on the host: threads share
 * the counter.
 */
export class PoolDirectory {
  private readonly pools = new Map<number, ListedPool>();
  private readonly listeners = new Set<PoolListener>();
  private readonly i32: Int32Array;
  private readonly counterAt: number;
  private readonly onError: (error: unknown) => void;

  /**
   * @param counterAt word that counts ids that were given out.
   * @param onError gets what listeners throw: a pool that comes or goes is in the middle of a change.
   */
  constructor(i32: Int32Array = new Int32Array(1), counterAt = 0, onError: (error: unknown) => void = rethrow) {
    this.i32 = i32;
    this.counterAt = counterAt;
    this.onError = onError;
  }

  /** Reserves an id, cyclic from 1. The pool becomes visible with {@link publish}. */
  reserve(pool: ListedPool): number {
    if (this.pools.size >= ID_MAX) {
      throw new NetmemError({
        code: "ERR_NETMEM_POOL_IDS_EXHAUSTED",
        errno: "ENOSPC",
        reason: "every pool id is in use",
        remedy: "Destroy pools that are no longer needed.",
      });
    }
    let id = this.nextId();
    while (id === 0 || this.pools.has(id)) id = this.nextId();
    this.pools.set(id, pool);
    return id;
  }

  /** Tells the listeners about a pool. None of them can stop it. */
  publish(kind: PoolEventKind, id: number): void {
    const pool = this.pools.get(id);
    if (pool === undefined || this.listeners.size === 0) return;
    try {
      const record = pool.describe();
      for (const listener of this.listeners) this.tell(listener, kind, record);
    } catch (error) {
      this.onError(error);
    }
  }

  private tell(listener: PoolListener, kind: PoolEventKind, record: PagePoolRecord): void {
    try {
      listener(kind, record);
    } catch (error) {
      this.onError(error);
    }
  }

  /** Lists a pool that another thread made, under the id that it has. */
  adopt(id: number, pool: ListedPool): void {
    this.pools.set(id, pool);
  }

  remove(id: number): void {
    this.pools.delete(id);
  }

  get(id: number): ListedPool | null {
    return this.pools.get(id) ?? null;
  }

  /** Snapshot of every pool, in order of creation. */
  list(): ListedPool[] {
    return [...this.pools.values()];
  }

  /** Calls `listener` on every event until the returned function is called. */
  subscribe(listener: PoolListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private nextId(): number {
    return (Atomics.add(this.i32, this.counterAt, 1) + 1) & ID_MAX;
  }
}

function rethrow(error: unknown): never {
  throw error;
}

import { NetmemError } from "./errors.ts";

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
  describe(): PagePoolRecord;
}

export type PoolEventKind = "add" | "change" | "del";
export type PoolListener = (kind: PoolEventKind, record: PagePoolRecord) => void;

const ID_MAX = 0x7fffffff;

/** Every pool of a host, live or detached, with add / change / del events. */
export class PoolDirectory {
  private readonly pools = new Map<number, ListedPool>();
  private readonly listeners = new Set<PoolListener>();
  private next = 1;

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
    while (this.pools.has(this.next)) this.advance();
    const id = this.next;
    this.advance();
    this.pools.set(id, pool);
    return id;
  }

  /** Tells the listeners about a pool. */
  publish(kind: PoolEventKind, id: number): void {
    const pool = this.pools.get(id);
    if (pool === undefined || this.listeners.size === 0) return;
    const record = pool.describe();
    for (const listener of this.listeners) listener(kind, record);
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

  private advance(): void {
    this.next = this.next === ID_MAX ? 1 : this.next + 1;
  }
}

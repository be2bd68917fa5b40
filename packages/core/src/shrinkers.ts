import type { Host } from "./host.ts";

/**
 * Somebody that keeps free pages and can give some back when memory runs short: a page pool with an idle ring, a cache
 * (kernel: `struct shrinker`). Owner's thread only.
 */
export interface Shrinker {
  readonly name: string;
  /** Pages that a scan could give back now; 0 = do not ask. */
  count(): number;
  /**
   * Gives about `target` pages back to the page allocator and returns how many. Must not wait; what it allocates
   * meanwhile starts no further reclaim.
   */
  scan(target: number): number;
}

/** The shrinkers of one host, asked by its page allocator when a watermark is crossed. */
export class Shrinkers {
  private readonly host: Host;
  private readonly registered = new Set<Shrinker>();
  private running = false;

  constructor(host: Host) {
    this.host = host;
  }

  get size(): number {
    return this.registered.size;
  }

  /** A scan is under way, so {@link reclaim} does nothing. */
  get isRunning(): boolean {
    return this.running;
  }

  /** Registers a shrinker; one that is registered already keeps its place. */
  add(shrinker: Shrinker): void {
    this.registered.add(shrinker);
  }

  /** Asks it no more, from a scan that is under way on. */
  remove(shrinker: Shrinker): void {
    this.registered.delete(shrinker);
  }

  /**
   * Asks the shrinkers, in the order they were added, until `targetPages` more pages are free. Returns how many came,
   * counted by the page allocator and not by what they say. 0 when called from a shrinker. One that throws is reported
   * as `WARN_NETMEM_SHRINKER_FAILED` and skipped.
   */
  reclaim(targetPages: number): number {
    if (this.running || this.registered.size === 0) return 0;
    this.running = true;
    const { pages } = this.host;
    const before = pages.freePageCount();
    try {
      for (const shrinker of this.registered) {
        const missing = targetPages - (pages.freePageCount() - before);
        if (missing <= 0) break;
        this.ask(shrinker, missing);
      }
    } finally {
      this.running = false;
    }
    return Math.max(pages.freePageCount() - before, 0);
  }

  private ask(shrinker: Shrinker, missing: number): void {
    try {
      const idle = shrinker.count();
      if (idle > 0) shrinker.scan(Math.min(idle, missing));
    } catch (error) {
      this.host.warn("WARN_NETMEM_SHRINKER_FAILED", `shrinker ${shrinker.name}: ${String(error)}`);
    }
  }
}

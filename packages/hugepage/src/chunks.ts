import type { Host, HugeBacking } from "@netmem/core";
import { failNoHugePages } from "./huge-errors.ts";
import { Places } from "./places.ts";

/** Places of the arena with huge pages under them. */
export class Chunks {
  /** log2 of the pages in a chunk. */
  readonly order: number;
  private readonly host: Host;
  private readonly backing: HugeBacking;
  private readonly places: Places;

  constructor(host: Host, backing: HugeBacking) {
    this.host = host;
    this.backing = backing;
    this.places = new Places(host, backing);
    this.order = this.places.order;
  }

  /**
   * First pages of `count` chunks, all or none.
   * @throws `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM), what the backing throws.
   */
  take(count: number, nid: number): number[] {
    const available = this.backing.available();
    if (available < count) failNoHugePages(count, available, `backing ${this.backing.kind} has no more`);
    const places = this.places.take(count, nid);
    let backed = 0;
    try {
      if (places.length < count) failNoHugePages(count, places.length, "the arena has no such ranges free");
      for (; backed < count; backed++) this.backing.back(this.offsetOf(places[backed]!), this.backing.pageBytes);
      return places;
    } catch (error) {
      for (const [n, idx] of places.entries()) this.leave(idx, n < backed);
      throw error;
    }
  }

  /** Gives a chunk back, all of whose pages are free. */
  give(idx: number): void {
    this.leave(idx, true);
  }

  private leave(idx: number, isBacked: boolean): void {
    try {
      if (isBacked) this.backing.release(this.offsetOf(idx), this.backing.pageBytes);
    } catch (error) {
      this.host.warn("WARN_NETMEM_HUGE_RELEASE", `backing ${this.backing.kind}: ${String(error)}`);
    }
    this.places.give(idx);
  }

  private offsetOf(idx: number): number {
    return idx * this.host.pageSizeBytes;
  }
}

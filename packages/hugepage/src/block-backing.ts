import type { Host, HugeBacking } from "@netmem/core";

/** Puts huge pages under what fits into blocks, as long as there are any. Nobody depends on them. */
export class BlockBacking {
  /** Huge pages under blocks now. */
  pageCount = 0;
  private readonly host: Host;
  private readonly backing: HugeBacking;
  /** Huge pages under a block, by its first page. */
  private readonly counts = new Map<number, number>();

  constructor(host: Host, backing: HugeBacking) {
    this.host = host;
    this.backing = backing;
  }

  /** Backs the whole places of a block, whose pages are all free. */
  back(firstIdx: number, order: number): void {
    const { offset, count } = this.placesIn(firstIdx, order);
    if (count === 0 || this.backing.available() < count) return;
    try {
      this.backing.back(offset, count * this.backing.pageBytes);
    } catch {
      // Ordinary pages do: what was promised is a block.
      return;
    }
    this.counts.set(firstIdx, count);
    this.pageCount += count;
  }

  release(firstIdx: number, order: number): void {
    const count = this.counts.get(firstIdx);
    if (count === undefined) return;
    this.counts.delete(firstIdx);
    this.pageCount -= count;
    try {
      this.backing.release(this.placesIn(firstIdx, order).offset, count * this.backing.pageBytes);
    } catch (error) {
      this.host.warn("WARN_NETMEM_HUGE_RELEASE", `backing ${this.backing.kind}: ${String(error)}`);
    }
  }

  private placesIn(firstIdx: number, order: number): { readonly offset: number; readonly count: number } {
    const { pageBytes, firstOffset } = this.backing;
    const from = firstIdx * this.host.pageSizeBytes;
    const end = from + 2 ** order * this.host.pageSizeBytes;
    const offset = firstOffset + Math.max(Math.ceil((from - firstOffset) / pageBytes), 0) * pageBytes;
    return { offset, count: Math.max(Math.floor((end - offset) / pageBytes), 0) };
  }
}

/*
 * A memory provider: a fixed number of pages, taken from the host once and lent to page pools. A page that somebody
 * still holds when its pool lets go of it stays away until that holder is gone.
 */
import {
  type Host,
  idxOf,
  makePlain,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  pageRefCount,
  type PageRef,
  type PoolHandle,
} from "@netmem/core";

export class StackProvider implements MemoryProviderOps {
  readonly name: string = "stack";
  readonly opsVersion = 1;
  readonly pageCount: number;
  protected readonly host: Host;
  protected readonly pages: PageRef[] = [];
  private readonly mine = new Set<number>();
  private pools = 0;

  constructor(host: Host, pageCount: number) {
    this.host = host;
    this.pageCount = pageCount;
    for (let n = 0; n < pageCount; n++) this.takeNew();
  }

  /** Pages that no pool has. */
  get idleCount(): number {
    return this.pages.length;
  }

  init(pool: PoolHandle): void {
    if (pool.order !== 0) {
      throw new NetmemError({
        code: "ERR_STACK_ORDER",
        errno: "EINVAL",
        reason: `the pool wants blocks of 2^${pool.order} pages`,
        remedy: "Use order 0 with this provider.",
      });
    }
    this.pools++;
  }

  destroy(_pool: PoolHandle): void {
    this.pools--;
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    while (this.pages.length < Math.min(max, this.pageCount) && this.mine.size < this.pageCount) {
      if (!this.takeNew()) break;
    }
    const count = Math.min(max, this.pages.length);
    for (let n = 0; n < count; n++) out[n] = this.pages.pop()!;
    return count;
  }

  /** A page with other holders goes to the page allocator, which frees it when they are gone; a new one replaces it. */
  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    if (pageRefCount(this.host, ref) > 1) {
      this.mine.delete(idxOf(ref));
      return true;
    }
    makePlain(this.host, ref);
    this.pages.push(ref as PageRef);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return (ref & 1) === 0 && this.mine.has(idxOf(ref));
  }

  fillInfo(info: { set(name: string, value: number | string): void }): void {
    info.set("stack-idle", this.idleCount);
    info.set("stack-pools", this.pools);
  }

  private takeNew(): boolean {
    const page = this.host.pages.allocPages(0);
    if (page === 0) return false;
    this.mine.add(idxOf(page));
    this.pages.push(page);
    return true;
  }
}

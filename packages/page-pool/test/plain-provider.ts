import {
  type Host,
  IDX_MASK,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";

/** The least that a provider of pages can be: pages of the page allocator, mapped one by one. */
export class PlainProvider implements MemoryProviderOps {
  readonly name: string = "plain";
  readonly opsVersion = 1;
  protected readonly host: Host;
  protected readonly mine = new Set<number>();
  protected pools = 0;

  constructor(host: Host) {
    this.host = host;
  }

  get mapped(): number {
    return this.mine.size;
  }

  init(pool: PoolHandle): void {
    if (pool.order !== 0) {
      throw new NetmemError({ code: "ERR_PLAIN_ORDER", errno: "EINVAL", reason: "order", remedy: "Use order 0." });
    }
    this.pools++;
  }

  destroy(_pool: PoolHandle): void {
    this.pools--;
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const { host, mine } = this;
    const got = host.pages.allocBulk(out, max, pool.nid);
    for (let k = 0; k < got; k++) {
      const ref = out[k]! as NetmemRef;
      const idx = (ref >>> 1) & IDX_MASK;
      mine.add(idx);
      host.i32[host.dmaAt + idx] = host.dma?.map(ref, 0, pool.dmaDir) ?? 0;
    }
    return got;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    const idx = (ref >>> 1) & IDX_MASK;
    this.mine.delete(idx);
    this.host.dma?.unmap(this.host.i32[this.host.dmaAt + idx]!, 0, pool.dmaDir);
    return true;
  }

  owns(ref: NetmemRef): boolean {
    return (ref & 1) === 0 && this.mine.has((ref >>> 1) & IDX_MASK);
  }
}

import {
  DmaDir,
  failParam,
  type Host,
  idxOf,
  type MemoryProviderOps,
  type NetIovArea,
  NetmemError,
  type NetmemRef,
  type PageRef,
  type PoolHandle,
} from "@netmem/core";

/** Buffers in one contiguous window of the arena: who knows its place finds buffer n at `n * 4096`, with no table. */
export class WindowProvider implements MemoryProviderOps {
  readonly name = "window";
  readonly opsVersion = 1;
  readonly isReadable = true;
  readonly area: NetIovArea;
  private readonly host: Host;
  private readonly block: PageRef;
  private readonly order: number;
  private readonly free: NetmemRef[];
  private pools = 0;
  private pfn = 0;
  private dir: DmaDir = DmaDir.None;

  /** 2^order buffers. They stay the provider's for as long as there is a host. */
  constructor(host: Host, order: number) {
    const block = host.pages.allocPages(order);
    if (block === 0) failParam("order", order, "a block that is free", "Ask for less.");
    const count = 2 ** order;
    const baseOffset = host.offsetOf(block);
    this.host = host;
    this.block = block;
    this.order = order;
    this.area = host.areas.add({ name: this.name, count, pageShift: host.pageShift, baseOffset });
    this.free = Array.from({ length: count }, (_, n) => host.areas.refAt(this.area, n));
  }

  init(pool: PoolHandle): void {
    if (pool.order !== 0) failParam("order", pool.order, "0", "Buffers of the window are single pages.");
    if (this.pools === 0) this.map(pool.dmaDir);
    if (pool.dmaDir !== this.dir)
      failParam("dmaDir", pool.dmaDir, `${this.dir}`, "The window is mapped once, for all.");
    this.pools++;
  }

  destroy(_pool: PoolHandle): void {
    if (--this.pools === 0) this.host.dma?.unmap(this.pfn, this.order, this.dir);
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    const count = Math.min(max, this.free.length);
    for (let n = 0; n < count; n++) out[n] = this.free.pop()!;
    return count;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.free.push(ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return (ref & 1) === 1 && this.host.areas.of(idxOf(ref)) === this.area;
  }

  /** One mapping for all of it; each buffer gets its part of the address. */
  private map(dir: DmaDir): void {
    const { dma, i32, dmaAt } = this.host;
    this.dir = dir;
    if (dma === null) return;
    this.pfn = dma.map(this.block, this.order, dir);
    if (this.pfn === 0) failMap(this.name);
    for (let n = 0; n < this.area.count; n++) i32[dmaAt + this.area.firstIdx + n] = this.pfn + n;
  }
}

function failMap(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_MAP",
    errno: "ENOMEM",
    reason: `the DMA device refused to map the ${name}`,
    remedy: "Enlarge the device's address space.",
    param: "provider",
    value: name,
  });
}

import { type Host, type MemoryProviderOps, type NetIovArea, type NetmemRef, type PoolHandle } from "@netmem/core";

/** A provider of unreadable buffers of a page each, and what it was told. */
export class NiovProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  /** Thrown by `init`. */
  refusal: Error | null = null;
  initCount = 0;
  destroyCount = 0;
  readonly uninstalled: number[] = [];
  private readonly area: NetIovArea;
  private readonly free: NetmemRef[];

  constructor(host: Host, name: string, count = 256) {
    this.name = name;
    this.area = host.areas.add({ name, count, pageShift: 12 });
    this.free = Array.from({ length: count }, (_, n) => host.areas.refAt(this.area, n));
    host.providers.register(this);
  }

  /** Buffers that some pool has. */
  get outCount(): number {
    return this.area.count - this.free.length;
  }

  init(_pool: PoolHandle): void {
    if (this.refusal !== null) throw this.refusal;
    this.initCount++;
  }

  destroy(_pool: PoolHandle): void {
    this.destroyCount++;
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    const taken = this.free.splice(0, max);
    out.set(taken);
    return taken.length;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.free.push(ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    const idx = (ref >>> 1) & 0xfffff;
    return idx >= this.area.firstIdx && idx < this.area.firstIdx + this.area.count;
  }

  uninstall(rxq: { readonly queueIdx: number }): void {
    this.uninstalled.push(rxq.queueIdx);
  }
}

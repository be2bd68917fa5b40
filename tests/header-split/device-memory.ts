import {
  type Host,
  idxOf,
  type MemoryProviderOps,
  type NetIovArea,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";
import type { NicMemoryPort, SimNic } from "@netmem/sim-nic";

/** Memory of a device, in an array that no accessor of netmem knows, as a provider and as the NIC sees it. */
export class DeviceMemory implements MemoryProviderOps, NicMemoryPort {
  readonly opsVersion = 1;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly area: NetIovArea;
  private readonly host: Host;
  private readonly free: NetmemRef[];
  private readonly firstPfn: number;

  constructor(host: Host, nic: SimNic, name: string, count: number) {
    this.name = name;
    this.host = host;
    this.bytes = new Uint8Array(count * 4096);
    this.area = host.areas.add({ name, count, pageShift: 12 });
    this.free = Array.from({ length: count }, (_, n) => host.areas.refAt(this.area, n));
    this.firstPfn = nic.ports.open(this);
    host.providers.register(this);
  }

  get outCount(): number {
    return this.area.count - this.free.length;
  }

  write(page: number, offset: number, source: Uint8Array, from: number, lenBytes: number): boolean {
    this.bytes.set(source.subarray(from, from + lenBytes), page * 4096 + offset);
    return true;
  }

  init(pool: PoolHandle): void {
    pool.dmaSync = false;
    pool.dmaSyncCpu = false;
  }

  destroy(): void {}

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    const taken = this.free.splice(0, max);
    for (const ref of taken)
      this.host.i32[this.host.dmaAt + idxOf(ref)] = this.firstPfn + idxOf(ref) - this.area.firstIdx;
    out.set(taken);
    return taken.length;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.free.push(ref);
    return false;
  }

  /** Where a buffer starts in {@link bytes}. */
  offsetOf(ref: NetmemRef): number {
    return (idxOf(ref) - this.area.firstIdx) * 4096;
  }

  owns(ref: NetmemRef): boolean {
    return idxOf(ref) >= this.area.firstIdx && idxOf(ref) < this.area.firstIdx + this.area.count;
  }
}

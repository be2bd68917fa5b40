import {
  type Host,
  idxOf,
  type InfoSink,
  type MemoryProviderOps,
  NetmemError,
  type NetmemRef,
  type NetIovArea,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import type { FaultInjector } from "@netmem/testing";
import { PagePoolFlag, type PagePoolParams } from "../src/index.ts";

export interface FakeNiovOptions {
  readonly host: Host;
  readonly count: number;
  /** Backs the area by arena pages, so that the CPU can read it. */
  readonly readable?: boolean;
  /** Asked at "provider.alloc" for every call. */
  readonly faults?: FaultInjector;
  /** Buffers handed out per call at most. Default: as many as asked for. */
  readonly batch?: number;
}

/** Device memory that does nothing but count: net_iovs of one area, lent to pools and taken back. */
export class FakeNiovProvider implements MemoryProviderOps {
  readonly name = "fake-niov";
  readonly opsVersion = 1;
  readonly area: NetIovArea;
  readonly calls: string[] = [];
  readonly free: NetmemRef[];
  /** `init` throws this. */
  initError: NetmemError | null = null;
  getRefs = 0;
  private readonly batch: number;
  private readonly faults: FaultInjector | null;

  constructor({ host, count, readable = false, faults, batch = Infinity }: FakeNiovOptions) {
    const backing = readable ? host.pages.allocPages(Math.ceil(Math.log2(count))) : 0;
    if (readable && backing === 0) throw new Error("no pages for the area");
    this.area = host.areas.add({
      name: "fake",
      count,
      pageShift: host.pageShift,
      ...(backing === 0 ? {} : { baseOffset: host.offsetOf(backing) }),
      getRef: () => this.getRefs++,
      putRef: () => this.getRefs--,
    });
    this.free = Array.from({ length: count }, (_, n) => host.areas.refAt(this.area, n));
    this.batch = batch;
    this.faults = faults ?? null;
    host.providers.register(this);
  }

  init(pool: PoolHandle): void {
    this.calls.push("init");
    if (this.initError !== null) throw this.initError;
    if (pool.order !== 0) {
      throw new NetmemError({ code: "ERR_FAKE_ORDER", errno: "E2BIG", reason: "order", remedy: "Use order 0." });
    }
  }

  destroy(_pool: PoolHandle): void {
    this.calls.push("destroy");
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    if (this.faults?.shouldFail("provider.alloc") === true) return 0;
    const count = Math.min(max, this.batch, this.free.length);
    for (let n = 0; n < count; n++) out[n] = this.free.shift()!;
    return count;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.free.push(ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    const n = idxOf(ref) - this.area.firstIdx;
    return (ref & 1) === 1 && n >= 0 && n < this.area.count;
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    info.set("fake-area", rxq === null ? this.area.areaId : rxq.queueIdx);
  }
}

/** Parameters of a pool on a queue that `provider` is bound to. The host needs a DMA device, or none of its calls. */
export function providerParams(provider: MemoryProviderOps): PagePoolParams {
  return {
    flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    rxq: { ifindex: 2, queueIdx: 1, provider },
  };
}

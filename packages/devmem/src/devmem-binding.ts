import type { Host, RxqProviderDevice } from "@netmem/core";
import type { DeviceMemory } from "./device-memory.ts";
import type { MemoryPorts } from "./memory-ports.ts";
import type { DevmemProvider } from "./devmem-provider.ts";
import { type DeviceRegion, GenPool } from "./gen-pool.ts";
import { LandingZone, type LandingStats } from "./landing-zone.ts";
import { PageRefs } from "./page-refs.ts";

/** What a binding holds. Pages. */
export interface BindingStats {
  readonly pages: number;
  /** With nobody. Pools keep some in their caches as well. */
  readonly freePages: number;
  /** One for the user, one per pool or allocator, one per page-level reference. */
  readonly refs: number;
  readonly landing: LandingStats;
}

/** @internal What a binding is made from. */
export interface BindingParts {
  readonly host: Host;
  readonly id: number;
  readonly memory: DeviceMemory;
  readonly regions: readonly DeviceRegion[];
  readonly ports: MemoryPorts | null;
  readonly device: RxqProviderDevice;
  readonly provider: DevmemProvider;
  /** The last reference is gone. */
  readonly onFreed: (binding: DevmemBinding) => void;
}

/**
 * Device memory bound to receive queues (kernel: `net_devmem_dmabuf_binding`). One thread. It lives until its user has
 * unbound it and the last buffer is home: what is outside keeps its pool, which keeps the binding.
 */
export class DevmemBinding {
  /** The dma-buf id of tokens, >= 1. */
  readonly id: number;
  readonly memory: DeviceMemory;
  /** Feeds page pools of the bound queues. */
  readonly provider: DevmemProvider;
  /** Where a NIC writes. */
  readonly landing: LandingZone;
  /** @internal */
  readonly pages: GenPool;
  /** @internal */
  readonly refs: PageRefs;
  private readonly host: Host;
  private readonly ports: MemoryPorts | null;
  private readonly onFreed: (binding: DevmemBinding) => void;
  private readonly waiters: (() => void)[] = [];
  private readonly bound = new Set<number>();
  private device: RxqProviderDevice | null;
  private firstPfn = 0;
  private isUnbound = false;
  private isGone = false;

  /** @internal Use `bindRx`. */
  constructor(parts: BindingParts) {
    this.id = parts.id;
    this.memory = parts.memory;
    this.provider = parts.provider;
    this.host = parts.host;
    this.ports = parts.ports;
    this.device = parts.device;
    this.onFreed = parts.onFreed;
    this.refs = new PageRefs(() => this.free());
    this.pages = new GenPool(parts.host, `devmem ${parts.id}`, parts.regions, {
      getRef: (ref) => this.refs.getPage(this.pages, ref),
      putRef: (ref) => this.refs.putPage(this.pages, ref),
    });
    this.landing = new LandingZone(this.pages, parts.memory, `devmem ${parts.id}`);
    try {
      this.writeAddresses();
    } catch (error) {
      this.pages.dispose();
      throw error;
    }
    this.provider.binding = this;
  }

  /** Queues that receive into this memory, ascending. */
  get queues(): readonly number[] {
    return [...this.bound].toSorted((a, b) => a - b);
  }

  /** Everything is home and the memory may be closed. */
  get isFreed(): boolean {
    return this.isGone;
  }

  /** Resolves when everything is home: the memory may be closed then. */
  freed(): Promise<void> {
    return this.isGone ? Promise.resolve() : new Promise((resolve) => this.waiters.push(resolve));
  }

  stats(): BindingStats {
    return {
      pages: this.pages.pageCount,
      freePages: this.pages.freeCount,
      refs: this.refs.total,
      landing: this.landing.stats(),
    };
  }

  /** @internal Binds the queues; throws what the device throws for one, and those before it are bound then. */
  openQueues(queues: readonly number[]): void {
    const { device } = this;
    for (const queueIdx of queues) {
      device?.openRxqProvider(queueIdx, this.provider);
      this.bound.add(queueIdx);
    }
  }

  /** @internal The device goes away, or lost the queue. */
  forgetQueue(queueIdx: number): void {
    this.bound.delete(queueIdx);
    if (this.bound.size === 0) this.device = null;
  }

  /** @internal Restarts the queues with ordinary pages and drops the user's reference, once. */
  unbind(): void {
    if (this.isUnbound) return;
    this.isUnbound = true;
    for (const queueIdx of this.bound) this.closeQueue(queueIdx);
    this.bound.clear();
    this.device = null;
    this.landing.flush();
    this.refs.put();
  }

  private closeQueue(queueIdx: number): void {
    try {
      this.device?.closeRxqProvider(queueIdx, this.provider);
    } catch (error) {
      this.host.warn(
        "WARN_NETMEM_DEVMEM_UNBIND",
        `queue ${queueIdx} did not restart without devmem ${this.id}: ${String(error)}`,
      );
    }
  }

  /** Gives each page its address on the device's bus. */
  private writeAddresses(): void {
    if (this.ports === null) return;
    const { i32, dmaAt } = this.host;
    const base = this.ports.open(this.landing);
    this.firstPfn = base;
    for (const { firstIdx, firstOrdinal, pages } of this.pages.list()) {
      for (let n = 0; n < pages.pageCount; n++) i32[dmaAt + firstIdx + n] = base + firstOrdinal + n;
    }
  }

  private free(): void {
    const missing = this.pages.pageCount - this.pages.freeCount;
    this.ports?.close?.(this.firstPfn);
    this.provider.binding = null;
    if (missing === 0) this.dispose();
    else
      this.host.warn(
        "WARN_NETMEM_DEVMEM_LEAK",
        `devmem ${this.id}: ${missing} pages did not come home and are left behind`,
      );
    this.isGone = true;
    this.onFreed(this);
    for (const wake of this.waiters.splice(0)) wake();
  }

  private dispose(): void {
    const { i32, dmaAt } = this.host;
    for (const { firstIdx, pages } of this.pages.list())
      i32.fill(0, dmaAt + firstIdx, dmaAt + firstIdx + pages.pageCount);
    this.pages.dispose();
  }
}

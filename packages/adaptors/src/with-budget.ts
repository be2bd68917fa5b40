import type { InfoSink, MemoryProviderOps, NetmemRef, PoolHandle, RxQueueInfo } from "@netmem/core";
import type { Tenant } from "./budget.ts";
import { checkedAlloc } from "./checked-alloc.ts";

/** A provider in front of another one whose buffers are charged to a tenant. Made by {@link withBudget}. */
export class BudgetedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  private readonly upstream: MemoryProviderOps;
  private readonly tenant: Tenant;
  /** Pools that it accepted. Those of a thread that died give back what was never counted here. */
  private readonly pools = new Set<PoolHandle>();

  /** @internal Use {@link withBudget}. */
  constructor(upstream: MemoryProviderOps, tenant: Tenant) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.tenant = tenant;
    this.name = `budget(${upstream.name}, ${tenant.name})`;
  }

  init(pool: PoolHandle): void {
    this.upstream.init(pool);
    this.pools.add(pool);
  }

  destroy(pool: PoolHandle): void {
    this.pools.delete(pool);
    this.upstream.destroy(pool);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const granted = this.tenant.grant(max, pool.order);
    if (granted === 0) return 0;
    const count = checkedAlloc(this.upstream, pool, out, granted);
    this.tenant.usedPages += count << pool.order;
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    if (this.pools.has(pool)) this.tenant.usedPages -= 1 << pool.order;
    return this.upstream.releaseNetmem(pool, ref);
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
    info.set("budget-tenant", this.tenant.name);
    info.set("budget-used-pages", this.tenant.usedPages);
    info.set("budget-soft-pages", this.tenant.softPages);
    info.set("budget-hard-pages", this.tenant.hardPages);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }
}

/** Charges every buffer that a pool takes from `upstream` to `tenant` until it comes back, pool caches included. */
export function withBudget(upstream: MemoryProviderOps, tenant: Tenant): BudgetedProvider {
  return new BudgetedProvider(upstream, tenant);
}

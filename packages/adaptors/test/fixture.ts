import {
  createHost,
  DmaDir,
  type Host,
  idxOf,
  isNetmemError,
  type MemoryProviderOps,
  type NetmemRef,
  type NetmemWarning,
  type PoolHandle,
} from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";
import { ReplayPool } from "../src/replay-pool.ts";

export interface Bench {
  readonly host: Host;
  readonly warnings: NetmemWarning[];
}

export function makeBench(arenaBytes: number = 8 * 2 ** 20): Bench {
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
  });
  return { host, warnings };
}

/** Net_iovs of an area, lent and taken back. */
export class FakeProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly free: NetmemRef[];
  readonly calls: string[] = [];
  /** Thrown by the next call of the hook with this name. */
  failing: { readonly hook: string; readonly error: Error } | null = null;
  /** Returned by the next `allocNetmems` whatever it gave. */
  lie: number | null = null;
  private readonly firstIdx: number;
  private readonly count: number;

  constructor(host: Host, count: number, name = "fake") {
    this.name = name;
    this.count = count;
    const area = host.areas.add({ name, count, pageShift: host.pageShift });
    this.firstIdx = area.firstIdx;
    this.free = Array.from({ length: count }, (_, n) => host.areas.refAt(area, n));
  }

  init(_pool: PoolHandle): void {
    this.note("init");
  }

  destroy(_pool: PoolHandle): void {
    this.note("destroy");
  }

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    this.note(`alloc ${max}`);
    const count = Math.min(max, this.free.length);
    for (let n = 0; n < count; n++) out[n] = this.free.shift()!;
    const told = this.lie ?? count;
    this.lie = null;
    return told;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.note("release");
    this.free.push(ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return (ref & 1) === 1 && idxOf(ref) >= this.firstIdx && idxOf(ref) < this.firstIdx + this.count;
  }

  fillInfo(info: { set(name: string, value: number | string): void }): void {
    info.set("fake", this.name);
  }

  uninstall(): void {
    this.note("uninstall");
  }

  private note(call: string): void {
    this.calls.push(call);
    const { failing } = this;
    if (failing === null || failing.hook !== call.split(" ")[0]) return;
    this.failing = null;
    throw failing.error;
  }
}

/** What a page pool is to a provider: asks for up to 64 at a time. */
export class TestPool {
  readonly pool: ReplayPool;
  private readonly provider: MemoryProviderOps;
  private readonly batch = new Int32Array(64);

  constructor(host: Host, provider: MemoryProviderOps, order = 0) {
    this.pool = new ReplayPool(host, provider, 1, order | (DmaDir.FromDevice << 8) | (1 << 12));
    this.provider = provider;
    provider.init(this.pool);
  }

  /** One call for up to `max`. */
  take(max: number): NetmemRef[] {
    const count = this.pool.take(this.batch, max, max);
    return [...this.batch.subarray(0, count)] as NetmemRef[];
  }

  give(refs: readonly NetmemRef[]): void {
    for (const ref of refs) this.pool.give(ref);
  }

  destroy(): void {
    this.provider.destroy(this.pool);
  }
}

export function expectCode(code: string, act: () => unknown): Record<string, unknown> {
  let error: unknown;
  try {
    act();
  } catch (thrown) {
    error = thrown;
  }
  expect(isNetmemError(error) ? error.code : error).toBe(code);
  return error as Record<string, unknown>;
}

/** Attributes that a provider sets. */
export function infoOf(provider: MemoryProviderOps): Record<string, number | string> {
  const info: Record<string, number | string> = {};
  provider.fillInfo?.({ set: (name, value) => (info[name] = value) }, null);
  return info;
}

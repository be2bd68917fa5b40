import {
  type Host,
  idxOf,
  type InfoSink,
  type MemoryProviderOps,
  type NetmemRef,
  type PoolHandle,
  type RxQueueInfo,
} from "@netmem/core";
import { type AllocationLog, LogKind } from "./allocation-log.ts";
import { checkedAlloc } from "./checked-alloc.ts";

/** A provider in front of another one that writes a log. Made by {@link withLog}. */
export class LoggedProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  readonly isReadable: boolean;
  private readonly upstream: MemoryProviderOps;
  private readonly log: AllocationLog;
  /** Numbers of the pools that it accepted. Those of a thread that died are no part of this log. */
  private readonly pools = new Map<PoolHandle, number>();
  private nextPool = 0;
  private nextSerial = 0;
  /** Serial number of each buffer that is out, by index. */
  private serials = new Int32Array(0);

  /** @internal Use {@link withLog}. */
  constructor(upstream: MemoryProviderOps, log: AllocationLog) {
    this.upstream = upstream;
    this.isReadable = upstream.isReadable ?? false;
    this.log = log;
    this.name = `log(${upstream.name})`;
  }

  init(pool: PoolHandle): void {
    this.upstream.init(pool);
    this.serialsOf(pool.host);
    const number = this.nextPool++;
    this.pools.set(pool, number);
    this.log.append(LogKind.Init, number, pool.order | (pool.dmaDir << 8) | (pool.dmaMap ? 1 << 12 : 0), 0);
  }

  destroy(pool: PoolHandle): void {
    this.append(LogKind.Destroy, pool, 0, 0);
    this.pools.delete(pool);
    this.upstream.destroy(pool);
  }

  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
    const count = checkedAlloc(this.upstream, pool, out, max);
    this.append(LogKind.Alloc, pool, max, count);
    for (let k = 0; k < count; k++) this.serials[idxOf(out[k]! as NetmemRef)] = this.nextSerial++;
    return count;
  }

  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
    this.append(LogKind.Release, pool, this.serials[idxOf(ref)]!, 0);
    return this.upstream.releaseNetmem(pool, ref);
  }

  owns(ref: NetmemRef): boolean {
    return this.upstream.owns(ref);
  }

  fillInfo(info: InfoSink, rxq: RxQueueInfo | null): void {
    this.upstream.fillInfo?.(info, rxq);
    info.set("log-words", this.log.wordCount);
  }

  uninstall(rxq: RxQueueInfo): void {
    this.upstream.uninstall?.(rxq);
  }

  private append(kind: number, pool: PoolHandle, first: number, second: number): void {
    const number = this.pools.get(pool);
    if (number !== undefined) this.log.append(kind, number, first, second);
  }

  private serialsOf({ layout }: Host): void {
    if (this.serials.length === 0) this.serials = new Int32Array(layout.maxNetmems);
  }
}

/** Records what pools ask of `upstream` and give back in `log`: about 2 words a buffer. One log for each provider. */
export function withLog(upstream: MemoryProviderOps, log: AllocationLog): LoggedProvider {
  return new LoggedProvider(upstream, log);
}

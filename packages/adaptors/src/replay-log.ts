import type { Host, MemoryProviderOps, NetmemRef } from "@netmem/core";
import { type AllocationLog, LogKind, type LogRecord } from "./allocation-log.ts";
import { ReplayPool } from "./replay-pool.ts";

/** How a provider served a recorded trace. */
export interface ReplayReport {
  /** Calls of `allocNetmems`. */
  readonly calls: number;
  /** Buffers that the recorded provider gave. */
  readonly recorded: number;
  /** Of those, how many this one gave. */
  readonly granted: number;
  /** Calls that got fewer buffers than were recorded. */
  readonly shorter: number;
  /** Calls that would have got more; what was too much went straight back. */
  readonly longer: number;
  /** The first call (0, 1, ...) that got another number, -1 for none: both providers did the same. */
  readonly firstDifference: number;
  /** Pools that this provider refused; their records are left out. */
  readonly refusedPools: number;
  /** Buffers that were out at the end of the log, and pools that were there. They went home then. */
  readonly leftBuffers: number;
  readonly leftPools: number;
}

/** The run of one log against one provider. */
class Replay {
  calls = 0;
  recorded = 0;
  granted = 0;
  shorter = 0;
  longer = 0;
  firstDifference = -1;
  refusedPools = 0;
  private readonly host: Host;
  private readonly provider: MemoryProviderOps;
  private readonly pools = new Map<number, ReplayPool>();
  /** Buffers that are out, by serial number, and the pool of each. */
  private readonly out = new Map<number, { readonly pool: ReplayPool; readonly ref: NetmemRef }>();
  private readonly batch = new Int32Array(64);
  private nextSerial = 0;

  constructor(host: Host, provider: MemoryProviderOps) {
    this.host = host;
    this.provider = provider;
  }

  step(record: LogRecord): void {
    if (record.kind === LogKind.Init) this.init(record);
    else if (record.kind === LogKind.Alloc) this.alloc(record);
    else if (record.kind === LogKind.Release) this.release(record.first);
    else this.destroy(record.pool);
  }

  /** Everything goes home, also what the log did not bring home. */
  finish(): { readonly leftBuffers: number; readonly leftPools: number } {
    const left = { leftBuffers: this.out.size, leftPools: this.pools.size };
    for (const serial of this.out.keys()) this.release(serial);
    for (const pool of this.pools.keys()) this.destroy(pool);
    return left;
  }

  private init({ pool: number, first: shape }: LogRecord): void {
    const pool = new ReplayPool(this.host, this.provider, number + 1, shape);
    try {
      this.provider.init(pool);
      this.pools.set(number, pool);
    } catch {
      this.refusedPools++;
    }
  }

  private destroy(number: number): void {
    const pool = this.pools.get(number);
    if (pool === undefined) return;
    // A log that was cut off may end a pool before its buffers.
    for (const [serial, buffer] of this.out) if (buffer.pool === pool) this.release(serial);
    this.pools.delete(number);
    this.provider.destroy(pool);
  }

  private alloc({ pool: number, first: max, second: recorded }: LogRecord): void {
    const pool = this.pools.get(number);
    const serial = this.nextSerial;
    this.nextSerial += recorded;
    if (pool === undefined) return;
    const count = pool.take(this.batch, max, recorded);
    const kept = Math.min(count, recorded);
    for (let k = 0; k < kept; k++) this.out.set(serial + k, { pool, ref: this.batch[k]! as NetmemRef });
    this.recorded += recorded;
    this.granted += kept;
    if (count < recorded) this.shorter++;
    if (count > recorded) this.longer++;
    if (count !== recorded && this.firstDifference < 0) this.firstDifference = this.calls;
    this.calls++;
  }

  /** What this provider never gave cannot come home. */
  private release(serial: number): void {
    const buffer = this.out.get(serial);
    if (buffer === undefined) return;
    this.out.delete(serial);
    buffer.pool.give(buffer.ref);
  }
}

/**
 * Puts a recorded trace to any provider of `host`, buffer by buffer, and says where it did otherwise: the same sequence
 * of refills and returns, without pools, users and bytes. Afterwards everything is home.
 *
 * @throws what a hook throws; the provider is at fault then.
 */
export function replayLog(host: Host, log: AllocationLog, provider: MemoryProviderOps): ReplayReport {
  const replay = new Replay(host, provider);
  for (const record of log.records()) replay.step(record);
  const { calls, recorded, granted, shorter, longer, firstDifference, refusedPools } = replay;
  return { calls, recorded, granted, shorter, longer, firstDifference, refusedPools, ...replay.finish() };
}

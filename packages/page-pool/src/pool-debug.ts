import {
  GEN_ONE,
  GEN_SHIFT,
  type Host,
  IDX_MASK,
  META_QUARANTINED,
  META_OWNER_SHIFT,
  NetmemError,
  type NetmemRef,
  REF_MASK,
} from "@netmem/core";

const POISON = 0x6b;
const RED_ZONE = 0x5c;
const RED_ZONE_BYTES = 16;
const QUARANTINE_COUNT = 64;
const TOUCHES_KEPT = 8;
const STACK_EVERY = 64;

/**
 * The debug level of one pool: poison on put and check on alloc, a FIFO quarantine that delays reuse, a map of the live
 * fragments with red zones between them, touch history and sampled allocation stacks. Costs microseconds per buffer.
 */
export class PoolDebug {
  /** Bytes added behind every fragment. */
  readonly redZoneBytes: number = RED_ZONE_BYTES;
  private readonly host: Host;
  private readonly quarantinedTag: number;
  private readonly bufferBytes: number;
  private readonly quarantine: NetmemRef[] = [];
  private readonly poisoned = new Set<number>();
  /** Size of each live fragment by offset, by page index. */
  private readonly frags = new Map<number, Map<number, number>>();
  private readonly touches = new Map<number, string[]>();
  private readonly drainTo: (ref: NetmemRef) => void;
  private allocs = 0;

  /** `drainTo` takes a buffer that leaves the quarantine when the pool is destroyed. */
  constructor(host: Host, ownerId: number, order: number, drainTo: (ref: NetmemRef) => void) {
    this.host = host;
    this.quarantinedTag = (ownerId << META_OWNER_SHIFT) | META_QUARANTINED;
    this.bufferBytes = 1 << (host.pageShift + order);
    this.drainTo = drainTo;
  }

  get quarantinedCount(): number {
    return this.quarantine.length;
  }

  /** Checks that nobody wrote to the buffer while it was free. @throws `ERR_NETMEM_WRITE_AFTER_PUT` */
  onAlloc(ref: NetmemRef): void {
    const idx = (ref >>> 1) & IDX_MASK;
    this.checkPoison(ref, idx);
    this.poisoned.delete(idx);
    this.frags.delete(idx);
    if (this.allocs++ % STACK_EVERY === 0) this.touch(ref, allocationSite());
  }

  /** Poisons a buffer that came home and keeps it back; returns the one that has waited longest, 0 while there is room. */
  onPut(ref: NetmemRef): NetmemRef | 0 {
    const idx = (ref >>> 1) & IDX_MASK;
    for (const [offset, size] of this.frags.get(idx) ?? []) this.checkRedZone(ref, offset, size);
    this.frags.delete(idx);
    this.poison(ref, idx);
    const next = ((ref + GEN_ONE) & REF_MASK) as NetmemRef;
    this.host.i32[idx] = this.quarantinedTag | (next >>> GEN_SHIFT);
    this.quarantine.push(next);
    return this.quarantine.length > QUARANTINE_COUNT ? this.quarantine.shift()! : 0;
  }

  /** Lets everything out of the quarantine. */
  flush(): void {
    for (const ref of this.quarantine.splice(0)) this.drainTo(ref);
  }

  onFragAlloc(ref: NetmemRef, offset: number, size: number): void {
    const idx = (ref >>> 1) & IDX_MASK;
    let live = this.frags.get(idx);
    if (live === undefined || offset === 0) this.frags.set(idx, (live = new Map<number, number>()));
    live.set(offset, size);
    this.fillRedZone(ref, offset, size);
  }

  /** Checks one fragment out. @throws `ERR_NETMEM_DOUBLE_PUT` when it is not live, `ERR_NETMEM_OVERRUN` */
  onFragPut(ref: NetmemRef, offset: number): void {
    const live = this.frags.get((ref >>> 1) & IDX_MASK);
    if (live === undefined) return;
    const size = live.get(offset);
    if (size === undefined) fail("ERR_NETMEM_DOUBLE_PUT", `no fragment at offset ${offset} is out`, ref);
    this.checkRedZone(ref, offset, size);
    live.delete(offset);
  }

  /** Notes who has the buffer; the last eight notes are kept. */
  touch(ref: NetmemRef, tag: string): void {
    const idx = (ref >>> 1) & IDX_MASK;
    const list = this.touches.get(idx) ?? [];
    list.push(tag);
    if (list.length > TOUCHES_KEPT) list.shift();
    this.touches.set(idx, list);
  }

  lastTouch(idx: number): string | undefined {
    return this.touches.get(idx)?.at(-1);
  }

  history(ref: NetmemRef): readonly string[] {
    return this.touches.get((ref >>> 1) & IDX_MASK) ?? [];
  }

  /** The buffer leaves the pool. */
  forget(idx: number): void {
    this.poisoned.delete(idx);
    this.frags.delete(idx);
    this.touches.delete(idx);
  }

  private byteOffset(ref: NetmemRef): number {
    return this.host.isReadable(ref) ? this.host.offsetOf(ref) : -1;
  }

  private redZoneEnd(ref: NetmemRef, offset: number, size: number): number {
    const end = ((offset + size + 7) & ~7) + RED_ZONE_BYTES;
    return this.byteOffset(ref) + Math.min(end, this.bufferBytes);
  }

  private fillRedZone(ref: NetmemRef, offset: number, size: number): void {
    const from = this.byteOffset(ref);
    if (from >= 0) this.host.u8.fill(RED_ZONE, from + offset + size, this.redZoneEnd(ref, offset, size));
  }

  private poison(ref: NetmemRef, idx: number): void {
    const from = this.byteOffset(ref);
    if (from < 0) return;
    this.host.u8.fill(POISON, from, from + this.bufferBytes);
    this.poisoned.add(idx);
  }

  private checkPoison(ref: NetmemRef, idx: number): void {
    if (!this.poisoned.has(idx)) return;
    const from = this.byteOffset(ref);
    for (let at = from; at < from + this.bufferBytes; at++) {
      if (this.host.u8[at] === POISON) continue;
      fail("ERR_NETMEM_WRITE_AFTER_PUT", `byte ${at - from} of a free buffer was written`, ref, this.history(ref));
    }
  }

  /** Reports damage once: the zone is whole afterwards, so that the fragment can be returned. */
  private checkRedZone(ref: NetmemRef, offset: number, size: number): void {
    const from = this.byteOffset(ref);
    const end = from < 0 ? 0 : this.redZoneEnd(ref, offset, size);
    for (let at = from + offset + size; at < end; at++) {
      if (this.host.u8[at] !== RED_ZONE) {
        this.fillRedZone(ref, offset, size);
        fail("ERR_NETMEM_OVERRUN", `the fragment at offset ${offset}, ${size} bytes, was written beyond its end`, ref);
      }
    }
  }
}

function allocationSite(): string {
  const lines = (new Error("site").stack ?? "").split("\n");
  return (lines.find((line, n) => n > 0 && !line.includes("page-pool")) ?? lines[1] ?? "").trim();
}

function fail(code: string, reason: string, ref: NetmemRef, history: readonly string[] = []): never {
  throw new NetmemError({
    code,
    reason: `ref 0x${ref.toString(16)}: ${reason}`,
    remedy: history.length === 0 ? "Look at who held the buffer last." : `Touched by: ${history.join(" | ")}.`,
    param: "ref",
    value: ref,
  });
}

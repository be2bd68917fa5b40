/*
 * data path
 *
 * One receive queue that lands packets in an application's own memory (kernel: `io_zcrx_ifq`). A fragment that the NIC put
 * there becomes a completion; anything else is copied there first. The application gives buffers back through the refill
 * ring, and the next refill of the queue's pool picks them up.
 */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  type NetmemRef,
  type PacketSource,
  type PacketView,
  type ReadableRef,
  refNetmem as refNetmem_,
  type RxqProviderDevice,
  unrefNetmem,
} from "@netmem/core";
import { SpscConsumer, SpscProducer } from "@netmem/ring";
import {
  CQE_MORE,
  ENTRY_FLAGS as ENTRY_FLAGS_,
  ENTRY_LEN as ENTRY_LEN_,
  ENTRY_OFFSET as ENTRY_OFFSET_,
  ENTRY_OFFSET_HIGH as ENTRY_OFFSET_HIGH_,
  ENTRY_WORDS as ENTRY_WORDS_,
} from "./entries.ts";
import { Refill, type RefillStats } from "./refill.ts";
import type { ZcrxArea } from "./zcrx-area.ts";
import type { ZcrxProvider } from "./zcrx-provider.ts";

const IDX_MASK = IDX_MASK_;
const ENTRY_WORDS = ENTRY_WORDS_;
const OFFSET = ENTRY_OFFSET_;
const OFFSET_HIGH = ENTRY_OFFSET_HIGH_;
const LEN = ENTRY_LEN_;
const FLAGS = ENTRY_FLAGS_;
const MORE = CQE_MORE;
const refNetmem = refNetmem_;

/** Why a packet was not delivered; 0 when it was. The kernel's numbers. */
export const ZcrxResult = {
  Delivered: 0,
  /** No buffer for a copy (ENOMEM). */
  NoMemory: 12,
  /** A fragment of unreadable memory that is not the area's (EFAULT). */
  Fault: 14,
  /** The completion ring is full (ENOSPC). */
  NoSpace: 28,
} as const;
export type ZcrxResult = (typeof ZcrxResult)[keyof typeof ZcrxResult];

const { Delivered, NoMemory, Fault, NoSpace } = ZcrxResult;

/** What an area counted, and where its buffers are. Counts run freely through 2^32. */
export interface ZcrxStats extends RefillStats {
  readonly buffers: number;
  readonly freeBuffers: number;
  /** Fragments handed over where they lay, and pieces that were copied. */
  readonly zeroCopy: number;
  readonly copied: number;
  /** Allocations that found nothing. */
  readonly allocFailed: number;
}

/** @internal What an area is made from. */
export interface ZcrxParts {
  readonly host: Host;
  readonly id: number;
  readonly area: ZcrxArea;
  readonly provider: ZcrxProvider;
  readonly packets: PacketSource;
  readonly completionAt: number;
  readonly refillAt: number;
  readonly onAllocFail: (() => void) | null;
  /** The last reference is gone. */
  readonly onFreed: () => void;
}

/** A registered area. One thread: its queue's. Made by `registerZcrx`. */
export class Zcrx {
  declare readonly host: Host;
  /** @internal */
  declare readonly area: ZcrxArea;
  declare private readonly refill: Refill;
  declare private readonly view: PacketView;
  declare private readonly packets: PacketSource;
  declare private readonly completions: SpscProducer;
  declare private readonly entry: Int32Array;
  declare private copied: number;
  declare private zeroCopy: number;
  declare private allocFailed: number;
  /** Whether the next failed allocation is told. */
  declare private isArmed: boolean;
  declare private readonly onAllocFail: (() => void) | null;
  declare readonly id: number;
  declare readonly provider: ZcrxProvider;
  /** Word offsets of the rings, for `ZcrxUser` on any thread. */
  declare readonly completionAt: number;
  declare readonly refillAt: number;
  declare private refs: number;
  declare private device: RxqProviderDevice | null;
  declare private queueIdx: number;
  declare private isOpen: boolean;
  declare private readonly onFreed: () => void;
  declare private readonly waiters: (() => void)[];

  /** @internal Use `registerZcrx`. */
  constructor(parts: ZcrxParts) {
    this.host = parts.host;
    this.area = parts.area;
    this.refill = new Refill(parts.host, parts.area, new SpscConsumer(parts.host.i32, parts.refillAt));
    this.view = parts.packets.view;
    this.packets = parts.packets;
    this.completions = new SpscProducer(parts.host.i32, parts.completionAt);
    this.entry = new Int32Array(ENTRY_WORDS);
    this.copied = 0;
    this.zeroCopy = 0;
    this.allocFailed = 0;
    this.isArmed = true;
    this.onAllocFail = parts.onAllocFail;
    this.id = parts.id;
    this.provider = parts.provider;
    this.completionAt = parts.completionAt;
    this.refillAt = parts.refillAt;
    this.refs = 1;
    this.device = null;
    this.queueIdx = -1;
    this.isOpen = true;
    this.onFreed = parts.onFreed;
    this.waiters = [];
    parts.provider.zcrx = this;
  }

  /**
   * Hands a packet over as completions, one per piece, and consumes it. All or nothing: with any other result than
   * `Delivered` the packet stays the caller's, to be tried again or dropped, and nobody holds anything more.
   */
  deliver(packet: number): ZcrxResult {
    const result = this.isOpen ? this.canDeliver(packet) : NoMemory;
    if (result !== Delivered) return result;
    const { view } = this;
    for (let segment = packet; segment !== 0;) {
      view.of(segment);
      if (view.headLen > 0) this.copyRange(view.data, view.headLen);
      for (let n = 0; n < view.nrFrags; n++) this.deliverFrag(n);
      segment = segment === packet ? view.fragList : view.next;
    }
    this.completions.publish();
    this.packets.consume(packet);
    return Delivered;
  }

  /** Takes all that is in the refill ring back at once, instead of at the pool's next refill. Returns how many buffers. */
  flushRefill(): number {
    return this.refill.flush();
  }

  /** The next failed allocation is told again, once (`ZCRX_CTRL_ARM_EVENT`). */
  armEvent(): void {
    this.isArmed = true;
  }

  /** Control path. */
  stats(): ZcrxStats {
    return {
      ...this.refill.stats(),
      buffers: this.area.count,
      freeBuffers: this.area.freeCount,
      zeroCopy: this.zeroCopy >>> 0,
      copied: this.copied >>> 0,
      allocFailed: this.allocFailed >>> 0,
    };
  }

  /** References that the user holds: buffers, counted once per completion. Control path. */
  userRefs(): number {
    let total = 0;
    for (let n = 0; n < this.area.count; n++) total += this.area.userCount(n);
    return total;
  }

  /** Binds the area's queue. Throws what the device throws, and holds nothing then. Control path. */
  bind(device: RxqProviderDevice, queueIdx: number): void {
    device.openRxqProvider(queueIdx, this.provider);
    this.device = device;
    this.queueIdx = queueIdx;
  }

  /**
   * Ends the registration: the queue restarts with ordinary pages, and whatever the user holds is taken from it. Buffers that
   * packets still have keep the area, see {@link freed}. No `ZcrxUser` of it may be used any more, on any thread: with the
   * last buffer its rings are the arena's again. A second time does nothing. Control path.
   */
  unregister(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.closeQueue();
    this.refill.flush();
    this.scrub();
    this.put();
  }

  get isFreed(): boolean {
    return this.refs === 0 && this.area.freeCount === this.area.count;
  }

  /** Resolves when everything is home: the memory is the application's again. Control path. */
  freed(): Promise<void> {
    return this.isFreed ? Promise.resolve() : new Promise((resolve) => void this.waiters.push(resolve));
  }

  /** @internal Buffers for a pool: what the user gave back, else from the free list. */
  supply(ownerId: number, out: Int32Array, max: number): number {
    const returned = this.refill.takeFor(ownerId, out, max);
    if (returned > 0) return returned;
    const fresh = this.isOpen ? this.area.take(out, 0, max) : 0;
    if (fresh === 0) this.tellAllocFail();
    return fresh;
  }

  /** @internal One more holder of the area. */
  get(): void {
    this.refs++;
  }

  /** @internal One holder less. Control path. */
  put(): void {
    if (--this.refs > 0) return;
    this.provider.zcrx = null;
    if (this.area.freeCount === this.area.count) this.area.dispose();
    else this.warnLeak();
    this.onFreed();
    for (const wake of this.waiters.splice(0)) wake();
  }

  /** @internal The device goes away. */
  forgetDevice(): void {
    this.device = null;
  }

  /** Control path: a device that cannot restart its queue must not keep the area. */
  private closeQueue(): void {
    const { device } = this;
    this.device = null;
    try {
      device?.closeRxqProvider(this.queueIdx, this.provider);
    } catch (error) {
      this.host.warn(
        "WARN_NETMEM_ZCRX_UNBIND",
        `queue ${this.queueIdx} did not restart without zcrx ${this.id}: ${String(error)}`,
      );
    }
  }

  private canDeliver(packet: number): ZcrxResult {
    const { view, area } = this;
    const round = (1 << area.shift) - 1;
    let pieces = 0;
    let copies = 0;
    for (let segment = packet; segment !== 0;) {
      view.of(segment);
      copies += (view.headLen + round) >>> area.shift;
      for (let n = 0; n < view.nrFrags; n++) {
        const ref = view.fragRef(n) as NetmemRef;
        if (area.numberOf(ref) >= 0) pieces++;
        else if (this.host.isReadable(ref)) copies += (view.fragLen(n) + round) >>> area.shift;
        else return Fault;
      }
      segment = segment === packet ? view.fragList : view.next;
    }
    if (this.completions.room() < (pieces + copies) * ENTRY_WORDS) return NoSpace;
    return copies > area.freeCount ? NoMemory : Delivered;
  }

  private deliverFrag(fragIdx: number): void {
    const { view, area, host } = this;
    const ref = view.fragRef(fragIdx) as NetmemRef;
    const n = area.numberOf(ref);
    const len = view.fragLen(fragIdx);
    if (n < 0) return this.copyRange(host.offsetOf(ref as ReadableRef) + view.fragOffset(fragIdx), len);
    refNetmem(host, ref);
    area.addUser(n);
    this.zeroCopy = (this.zeroCopy + 1) | 0;
    this.complete((n << area.shift) + view.fragOffset(fragIdx), len);
  }

  /** Copies bytes of the arena into buffers of the area; there are enough. */
  private copyRange(from: number, lenBytes: number): void {
    const { area, host } = this;
    const size = 1 << area.shift;
    for (let done = 0; done < lenBytes; done += size) {
      const n = area.numberOf(area.takeCopy() as NetmemRef);
      const len = lenBytes - done < size ? lenBytes - done : size;
      const at = n << area.shift;
      host.u8.copyWithin(area.offset + at, from + done, from + done + len);
      area.addUser(n);
      this.copied = (this.copied + 1) | 0;
      this.complete(at, len);
    }
  }

  private complete(offset: number, len: number): void {
    const { entry } = this;
    entry[OFFSET] = offset;
    entry[OFFSET_HIGH] = 0;
    entry[LEN] = len;
    entry[FLAGS] = MORE;
    this.completions.pushBatch(entry, 0, ENTRY_WORDS);
  }

  private tellAllocFail(): void {
    this.allocFailed = (this.allocFailed + 1) | 0;
    if (!this.isArmed || this.onAllocFail === null) return;
    this.isArmed = false;
    this.onAllocFail();
  }

  /** Takes every reference of the user (`io_zcrx_scrub`). Control path. */
  private scrub(): void {
    const { area, host } = this;
    for (let n = 0; n < area.count; n++) {
      const users = area.takeUsers(n);
      if (users === 0) continue;
      const ref = area.refAt(n);
      if (unrefNetmem(host, ref, users) === 0) this.refill.sendHome(ref, host.i32[(ref >>> 1) & IDX_MASK]!);
    }
  }

  /** Control path. */
  private warnLeak(): void {
    const missing = this.area.count - this.area.freeCount;
    this.host.warn(
      "WARN_NETMEM_ZCRX_LEAK",
      `zcrx ${this.id}: ${missing} buffers did not come home and are left behind`,
    );
  }
}

/*
 * data path
 *
 * Where a NIC writes payload. Bytes that follow each other on the device are collected in one staging buffer and landed
 * by one commit: a copy per packet costs more than the bytes. Everything about references is counted here:
 *
 *  write    the page is out with a driver: the landing takes a pool-level reference of its own
 *  commit   asynchronous; until it has ended the page cannot go back to a pool, whatever becomes of its packet
 *  landed   the reference is dropped; if it was the last one, the page goes home
 *
 * Bytes between two writes of one landing are undefined. So writes into one page must go upwards, as a ring of descriptors
 * does: what lies behind the last write of a page has not landed yet. What lies in front of the first write of a page in a
 * landing may have: of a page that is SHARED, since a write makes it so.
 */
import {
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  META_OUT,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  refNetmem as refNetmem_,
  returnNetmem as returnNetmem_,
} from "@netmem/core";
import { copyBytes } from "./copy-bytes.ts";
import type { DeviceLanding, DeviceMemory } from "./device-memory.ts";
import type { GenPool } from "./gen-pool.ts";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const STATE_MASK = META_STATE_MASK;
const OUT = META_OUT;
const SHARED = META_SHARED;
const refNetmem = refNetmem_;
const returnNetmem = returnNetmem_;

/** Writes of one landing at most. */
const MAX_WRITES = 256;

/** What became of writes. Counts run freely through 2^32. */
export interface LandingStats {
  /** Landings committed, and those of them that failed. */
  readonly commits: number;
  readonly failed: number;
  /** Writes refused because no staging was free. */
  readonly noStaging: number;
  /** Writes to pages that no driver has out, or that leave their page: a broken descriptor. */
  readonly stray: number;
  /** Writes whose place on the device is not a multiple of its alignment. */
  readonly misaligned: number;
  /** Landings that have not ended. */
  readonly inFlight: number;
}

interface OpenLanding {
  readonly landing: DeviceLanding;
  readonly bytes: Uint8Array;
  /** Byte of the device where it begins. */
  readonly start: number;
  readonly capacity: number;
  /** Byte of the device behind the last write. */
  end: number;
  readonly refs: Int32Array;
  count: number;
}

/** The landings of one binding. Its owner's thread only. */
export class LandingZone {
  declare private readonly i32: Int32Array;
  declare private open: OpenLanding | null;
  declare private readonly pageShift: number;
  declare private readonly pool: GenPool;
  declare private readonly memory: DeviceMemory;
  /** By page of the binding: writes that have not landed. */
  declare private readonly pending: Uint16Array;
  /** By page of the binding: generation + 1 of the buffer for which a landing failed. */
  declare private readonly failedGen: Int16Array;
  declare private pendingWrites: number;
  declare private commits: number;
  declare private failed: number;
  declare private noStaging: number;
  declare private stray: number;
  declare private misaligned: number;
  declare private inFlight: number;
  declare private readonly host: Host;
  declare private readonly waiters: Set<() => void>;
  /** Of the port through which a NIC writes here. */
  declare readonly name: string;

  constructor(pool: GenPool, memory: DeviceMemory, name: string) {
    this.i32 = pool.host.i32;
    this.open = null;
    this.pageShift = pool.host.pageShift;
    this.pool = pool;
    this.memory = memory;
    this.pending = new Uint16Array(pool.pageCount);
    this.failedGen = new Int16Array(pool.pageCount);
    this.pendingWrites = 0;
    this.commits = 0;
    this.failed = 0;
    this.noStaging = 0;
    this.stray = 0;
    this.misaligned = 0;
    this.inFlight = 0;
    this.host = pool.host;
    this.waiters = new Set();
    this.name = name;
  }

  /**
   * Writes `lenBytes` bytes at `from` of `source` to byte `offset` of page `page` of the binding, for a packet that is on
   * its way to whoever has that page. False when it cannot: the NIC drops the packet, as it does without descriptors. The
   * bytes are landed by {@link flush}, which a microtask calls.
   */
  write(page: number, offset: number, source: Uint8Array, from: number, lenBytes: number): boolean {
    const ref = this.pool.refAt(page);
    const meta = ref === 0 ? 0 : this.i32[(ref >>> 1) & IDX_MASK]!;
    if (
      (meta & STATE_MASK) !== OUT ||
      ref === 0 ||
      offset < 0 ||
      lenBytes < 0 ||
      offset + lenBytes > 1 << this.pageShift
    ) {
      this.stray = (this.stray + 1) | 0;
      return false;
    }
    const at = this.pool.pageOf(ref) * 2 ** this.pageShift + offset;
    const open = this.landingAt(at, lenBytes, (meta & SHARED) === 0 ? 0 : offset);
    if (open === null) return false;
    // Of an earlier buffer in the page, whose generation comes round again.
    if (this.failed !== 0 && this.failedGen[page] !== (ref >>> GEN_SHIFT) + 1) this.failedGen[page] = 0;
    copyBytes(open.bytes, at - open.start, source, from, lenBytes);
    open.end = at + lenBytes;
    refNetmem(this.host, ref);
    open.refs[open.count++] = ref;
    this.pending[page] = this.pending[page]! + 1;
    this.pendingWrites++;
    return true;
  }

  /** Commits what was written so far. */
  flush(): void {
    const { open } = this;
    if (open === null) return;
    this.open = null;
    this.commit(open);
  }

  /** Nothing is on its way and nothing ever failed: there is nothing to be asked about single pages. */
  get isQuiet(): boolean {
    return this.pendingWrites === 0 && this.failed === 0;
  }

  /** Whether bytes of the page have not landed yet; what is only written is committed first. */
  isLanding(ref: NetmemRef): boolean {
    const page = this.pool.ordinalOf(ref);
    if (page < 0 || this.pending[page] === 0) return false;
    this.flush();
    return this.pending[page] !== 0;
  }

  /** Whether a landing into this buffer, since it was allocated, has failed: its bytes are undefined. */
  hasFailed(ref: NetmemRef): boolean {
    return this.failedGen[this.pool.ordinalOf(ref)] === (ref >>> GEN_SHIFT) + 1;
  }

  stats(): LandingStats {
    return {
      commits: this.commits >>> 0,
      failed: this.failed >>> 0,
      noStaging: this.noStaging >>> 0,
      stray: this.stray >>> 0,
      misaligned: this.misaligned >>> 0,
      inFlight: this.inFlight,
    };
  }

  /** Calls `wake` whenever a landing ends, until the returned function is called. Control path. */
  onLanded(wake: () => void): () => void {
    this.waiters.add(wake);
    return () => this.waiters.delete(wake);
  }

  /** Commits everything and waits until nothing is in flight. Control path. */
  async settled(): Promise<void> {
    this.flush();
    while (this.inFlight > 0) {
      await new Promise<void>((resolve) => {
        const stop = this.onLanded(() => {
          stop();
          resolve();
        });
      });
    }
  }

  /**
   * The open landing when the range continues it, else a new one; null when there is no staging. The page's first
   * `landedBytes` bytes may have landed before: no landing that comes from another page covers them.
   */
  private landingAt(at: number, lenBytes: number, landedBytes: number): OpenLanding | null {
    const { open } = this;
    if (open !== null) {
      const gap = at - open.end;
      const covers = landedBytes > 0 && gap >= landedBytes;
      const follows = gap >= 0 && gap < 1 << this.pageShift && !covers;
      const fits = at + lenBytes - open.start <= open.capacity && open.count < MAX_WRITES;
      // Staging that the device took away has no bytes any more; its commit will say why.
      if (follows && fits && open.bytes.length > 0) return open;
      this.flush();
    }
    return this.begin(at);
  }

  /** Control path: once per landing. */
  private begin(start: number): OpenLanding | null {
    const { memory } = this;
    if (start % memory.alignBytes !== 0) {
      this.misaligned = (this.misaligned + 1) | 0;
      return null;
    }
    const capacity = Math.min(memory.landingBytes, memory.sizeBytes - start);
    const landing = this.staging(start, capacity);
    if (landing === null) {
      this.noStaging = (this.noStaging + 1) | 0;
      return null;
    }
    const refs = new Int32Array(MAX_WRITES);
    this.open = { landing, bytes: landing.bytes, start, capacity, end: start, refs, count: 0 };
    void Promise.resolve().then(() => this.flush());
    return this.open;
  }

  /** Control path: a memory that fails here must not take the NIC with it. */
  private staging(start: number, capacity: number): DeviceLanding | null {
    try {
      return this.memory.beginLanding(start, capacity);
    } catch (error) {
      this.host.warn("WARN_NETMEM_LANDING_FAILED", `${this.name}: ${String(error)}`);
      return null;
    }
  }

  /** Control path: once per landing. */
  private commit(open: OpenLanding): void {
    this.commits = (this.commits + 1) | 0;
    let visible: Promise<void> | null;
    try {
      visible = open.landing.commit(open.end - open.start);
    } catch (error) {
      visible = Promise.reject(error);
    }
    if (visible === null) return this.end(open, true);
    this.inFlight++;
    const settle = (isGood: boolean): void => {
      this.inFlight--;
      this.end(open, isGood);
    };
    visible.then(
      () => settle(true),
      () => settle(false),
    );
  }

  /** Control path: once per landing. */
  private end({ refs, count }: OpenLanding, isGood: boolean): void {
    if (!isGood) this.failed = (this.failed + 1) | 0;
    for (let n = 0; n < count; n++) this.drop(refs[n]! as NetmemRef, isGood);
    for (const wake of this.waiters) wake();
  }

  private drop(ref: NetmemRef, isGood: boolean): void {
    const page = this.pool.ordinalOf(ref);
    this.pending[page] = this.pending[page]! - 1;
    this.pendingWrites--;
    if (!isGood) this.failedGen[page] = (ref >>> GEN_SHIFT) + 1;
    try {
      returnNetmem(this.host, ref);
    } catch (error) {
      this.host.warn(
        "WARN_NETMEM_LANDING_REF",
        `${this.name}: a landing's page was returned by somebody else: ${String(error)}`,
      );
    }
  }
}

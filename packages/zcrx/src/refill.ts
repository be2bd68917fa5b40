/*
 * data path
 *
 * What the user puts into the refill ring, taken back by the owner of the area. The ring is the user's to write, so every
 * entry is looked at: a buffer number that exists, a buffer that the user holds.
 */
import {
  type Host,
  IDX_MASK as IDX_MASK_,
  META_GEN_MASK,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  type NetmemRef,
  NetmemState,
  ownerTag as ownerTag_,
  returnNetmem as returnNetmem_,
  unrefNetmem as unrefNetmem_,
} from "@netmem/core";
import type { SpscConsumer } from "@netmem/ring";
import {
  ENTRY_FLAGS as ENTRY_FLAGS_,
  ENTRY_OFFSET_HIGH as ENTRY_OFFSET_HIGH_,
  ENTRY_WORDS as ENTRY_WORDS_,
} from "./entries.ts";
import type { ZcrxArea } from "./zcrx-area.ts";

const IDX_MASK = IDX_MASK_;
const GEN_MASK = META_GEN_MASK;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const ENTRY_WORDS = ENTRY_WORDS_;
const OFFSET_HIGH = ENTRY_OFFSET_HIGH_;
const RESERVED = ENTRY_FLAGS_;
const RETURNING = NetmemState.Returning;
const ownerTag = ownerTag_;
const returnNetmem = returnNetmem_;
const unrefNetmem = unrefNetmem_;

/** Entries taken at a time. */
const BATCH = 64;

/** What became of refill entries. Counts run freely through 2^32. */
export interface RefillStats {
  /** Entries that named no buffer: a number out of range, another area, reserved bits. */
  readonly invalid: number;
  /** Entries for buffers that the user did not hold. */
  readonly unheld: number;
  /** Buffers that came back through the ring. */
  readonly returned: number;
}

export class Refill {
  declare private readonly host: Host;
  declare private readonly area: ZcrxArea;
  declare private readonly ring: SpscConsumer;
  declare private readonly entries: Int32Array;
  declare private invalid: number;
  declare private unheld: number;
  declare private returned: number;

  constructor(host: Host, area: ZcrxArea, ring: SpscConsumer) {
    this.host = host;
    this.area = area;
    this.ring = ring;
    this.entries = new Int32Array(BATCH * ENTRY_WORDS);
    this.invalid = 0;
    this.unheld = 0;
    this.returned = 0;
  }

  /**
   * For a pool that refills: looks at up to `max` entries and writes buffers of owner `ownerId` that came home into
   * `out[0..n)`, marked as returning; what belongs to other owners goes to them. Returns n.
   */
  takeFor(ownerId: number, out: Int32Array, max: number): number {
    const { entries, host } = this;
    const batch = max < BATCH ? max : BATCH;
    const words = this.ring.consumeBatch(entries, 0, batch * ENTRY_WORDS);
    let n = 0;
    for (let at = 0; at + ENTRY_WORDS <= words; at += ENTRY_WORDS) {
      const ref = this.accept(at);
      if (ref === 0) continue;
      const idx = (ref >>> 1) & IDX_MASK;
      const meta = host.i32[idx]!;
      if (meta >>> OWNER_SHIFT !== ownerId) {
        this.sendHome(ref, meta);
        continue;
      }
      host.i32[idx] = ownerTag(ownerId, RETURNING) | (meta & GEN_MASK);
      out[n++] = ref;
    }
    return n;
  }

  /**
   * Takes everything in the ring back, each buffer to its owner (`ZCRX_CTRL_FLUSH_RQ`), and no more than the ring has room
   * for, whatever its user says. Returns how many came home.
   */
  flush(): number {
    const before = this.returned;
    for (let left = this.ring.size; left > 0; left -= BATCH * ENTRY_WORDS) {
      const max = left < BATCH * ENTRY_WORDS ? left : BATCH * ENTRY_WORDS;
      const words = this.ring.consumeBatch(this.entries, 0, max);
      for (let at = 0; at + ENTRY_WORDS <= words; at += ENTRY_WORDS) {
        const ref = this.accept(at);
        if (ref !== 0) this.sendHome(ref, this.host.i32[(ref >>> 1) & IDX_MASK]!);
      }
      if (words < max) break;
    }
    return (this.returned - before) | 0;
  }

  /** Sends a buffer home whose last holder was the user. */
  sendHome(ref: NetmemRef, meta: number): void {
    if (meta >>> OWNER_SHIFT === 0) this.area.putCopy(ref);
    else returnNetmem(this.host, ref);
  }

  stats(): RefillStats {
    return { invalid: this.invalid >>> 0, unheld: this.unheld >>> 0, returned: this.returned >>> 0 };
  }

  /** The buffer of the entry at `at` when the user was its last holder, else 0. */
  private accept(at: number): NetmemRef | 0 {
    const { area, entries } = this;
    const n = entries[at]! >>> area.shift;
    if (entries[at + OFFSET_HIGH] !== 0 || entries[at + RESERVED] !== 0 || n >= area.count) {
      this.invalid = (this.invalid + 1) | 0;
      return 0;
    }
    if (!area.dropUser(n)) {
      this.unheld = (this.unheld + 1) | 0;
      return 0;
    }
    const ref = area.refAt(n);
    if (unrefNetmem(this.host, ref, 1) !== 0) return 0;
    this.returned = (this.returned + 1) | 0;
    return ref;
  }
}

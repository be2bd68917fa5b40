/*
 * data path
 *
 * Who holds a buffer that went through a channel: while a buffer is out, its link word holds
 *
 *   -((worker id + 1) << 9 | generation)
 *
 * of the thread that took it, and 0 again when that thread passes it on. Chains and free lists keep positive numbers in
 * that word, and only while the buffer is not out.
 */
import {
  asNetmemRef,
  type Host,
  IDX_MASK as IDX_MASK_,
  makeRef,
  META_GEN_MASK,
  META_OUT,
  META_RETURNING,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  GEN_BITS as GEN_BITS_,
  GEN_SHIFT as GEN_SHIFT_,
  returnNetmem,
} from "@netmem/core";

const IDX_MASK = IDX_MASK_;
const GEN_SHIFT = GEN_SHIFT_;
const GEN_BITS = GEN_BITS_;
const RETURNING_TO_OUT = META_RETURNING ^ META_OUT;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;

/** The stamps of one thread. */
export class ChannelStamps {
  declare private readonly i32: Int32Array;
  declare private readonly linkAt: number;
  declare private readonly mark: number;
  declare private readonly host: Host;

  constructor(host: Host) {
    this.i32 = host.i32;
    this.linkAt = host.linkAt;
    this.mark = (host.workerId + 1) << GEN_BITS;
    this.host = host;
  }

  /** This thread holds the buffer from now on. */
  set(ref: number): void {
    this.i32[this.linkAt + ((ref >>> 1) & IDX_MASK)] = -(this.mark | (ref >>> GEN_SHIFT));
  }

  /** It does not any more. Costs a look when there is no stamp. */
  clear(ref: number): void {
    const at = this.linkAt + ((ref >>> 1) & IDX_MASK);
    if (this.i32[at]! < 0) this.i32[at] = 0;
  }

  /** Worker that holds the buffer by its stamp, -1 without one, or with one of an earlier life. */
  holderOf(ref: number): number {
    const stamp = -this.i32[this.linkAt + ((ref >>> 1) & IDX_MASK)]!;
    return stamp > 0 && (stamp & META_GEN_MASK) === ref >>> GEN_SHIFT ? (stamp >>> GEN_BITS) - 1 : -1;
  }

  /** Sends home what a dead worker held alone; what others hold as well is named. */
  takeBack(workerId: number): { taken: number; doubtful: NetmemRef[] } {
    const { host, i32, linkAt } = this;
    const { layout } = host;
    const doubtful: NetmemRef[] = [];
    let taken = 0;
    for (let idx = layout.firstPageIdx; idx < layout.maxNetmems; idx++) {
      const stamp = -i32[linkAt + idx]!;
      if (stamp >>> GEN_BITS !== workerId + 1 || stamp < 0) continue;
      const gen = stamp & META_GEN_MASK;
      const meta = i32[idx]!;
      const state = meta & LIVE_MASK;
      // Claimed for an overflow list and not on it: a link would have taken the stamp's place.
      const isStuck = state === (META_RETURNING | gen);
      if (state !== (META_OUT | gen) && !isStuck) continue;
      if (isStuck) i32[idx] = meta ^ RETURNING_TO_OUT;
      const ref = asNetmemRef(makeRef(idx, gen, idx < layout.pageCount ? 0 : 1));
      if ((meta & META_SHARED) !== 0) {
        doubtful.push(ref);
        continue;
      }
      i32[linkAt + idx] = 0;
      returnNetmem(host, ref);
      taken++;
    }
    return { taken, doubtful };
  }
}

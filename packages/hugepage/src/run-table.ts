/*
 * data path
 *
 * The runs of a provider, and for each page of the arena the run that it belongs to.
 *
 *   slotOf[page index]    slot + 1, 0 for a page that is not ours
 */
import { type Host, IDX_MASK as IDX_MASK_ } from "@netmem/core";
import type { PageRun } from "./page-run.ts";

const IDX_MASK = IDX_MASK_;

export class RunTable {
  // "declare": see docs/decisions/0007. Hot fields first.
  declare private readonly slotOf: Int32Array;
  declare private readonly slots: (PageRun | null)[];
  /** Slots without a run. */
  declare private readonly gaps: number[];
  declare private readonly host: Host;

  /** Four bytes per page of the arena. */
  constructor(host: Host) {
    this.slotOf = new Int32Array(host.layout.pageCount);
    this.slots = [];
    this.gaps = [];
    this.host = host;
  }

  /** Control path. */
  add(run: PageRun): void {
    const slot = this.gaps.pop() ?? this.slots.length;
    this.slots[slot] = run;
    this.slotOf.fill(slot + 1, run.firstIdx, run.firstIdx + (1 << run.order));
  }

  /** Control path. */
  remove(run: PageRun): void {
    const slot = this.slotOf[run.firstIdx]! - 1;
    this.slots[slot] = null;
    this.gaps.push(slot);
    this.slotOf.fill(0, run.firstIdx, run.firstIdx + (1 << run.order));
  }

  /** The run of a page, null for a net_iov or a page of others. */
  find(ref: number): PageRun | null {
    const idx = (ref >>> 1) & IDX_MASK;
    if ((ref & 1) !== 0 || idx >= this.slotOf.length) return null;
    const slot = this.slotOf[idx]!;
    return slot === 0 ? null : (this.slots[slot - 1] ?? null);
  }

  /** Whether the page is in a run. */
  has(ref: number): boolean {
    return (ref & 1) === 0 && (this.slotOf[(ref >>> 1) & IDX_MASK]! | 0) !== 0;
  }

  /**
   * References of free pages into `out[0..n)`, from the first run that has any on: what lies behind drains. Returns n. When
   * none is free it looks whether others have let go of pages.
   */
  take(out: Int32Array, max: number): number {
    const n = this.takeFree(out, max);
    if (n > 0 || this.heldCount() === 0) return n;
    for (let slot = 0; slot < this.slots.length; slot++) this.slots[slot]?.recoverHeld();
    return this.takeFree(out, max);
  }

  private takeFree(out: Int32Array, max: number): number {
    const { slots } = this;
    let n = 0;
    for (let slot = 0; slot < slots.length && n < max; slot++) {
      const run = slots[slot];
      if (run !== null && run !== undefined && run.freeCount > 0) n = run.take(out, n, max);
    }
    return n;
  }

  /** Free pages of all runs. */
  freeCount(): number {
    let free = 0;
    for (let n = 0; n < this.slots.length; n++) free += this.slots[n]?.freeCount ?? 0;
    return free;
  }

  /** Pages that wait for others to let go. */
  heldCount(): number {
    let held = 0;
    for (let n = 0; n < this.slots.length; n++) held += this.slots[n]?.heldCount ?? 0;
    return held;
  }

  /** Runs that have no users. */
  wholeCount(): number {
    let whole = 0;
    for (let n = 0; n < this.slots.length; n++) if (this.slots[n]?.isWhole() === true) whole++;
    return whole;
  }

  /** A copy. Control path. */
  runs(): PageRun[] {
    return this.slots.filter((run) => run !== null);
  }

  /** Says that a page came home which is home already: a bug of the caller's. */
  warnDouble(provider: string, ref: number): void {
    this.host.warn("WARN_NETMEM_HUGE_DOUBLE_FREE", `provider ${provider}: page 0x${ref.toString(16)} came home twice`);
  }
}

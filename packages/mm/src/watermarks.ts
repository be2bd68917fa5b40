import { checkInt, type Host } from "@netmem/core";
import { ALERT_BELOW, MARKS, ROUND } from "./allocator-words.ts";

/** When a page allocator asks for pages back, and when it refuses. All in pages; unset = as if memory had no end. */
export interface PageAllocatorParams {
  /** Below this many free pages, only contexts with `memalloc` get any. Default 0. */
  readonly minPages?: number;
  /** Falling below this asks the shrinkers, once. Default: min + a quarter. */
  readonly lowPages?: number;
  /** Reclaim aims here, and from here on the next fall below low counts as a new one. Default: min + a half. */
  readonly highPages?: number;
  /** Hard limit on pages handed out, reserve included. Default: all there are. */
  readonly limitPages?: number;
}

/** What an allocator has counted since it was made. */
export interface PageAllocatorStats {
  /** Rounds through the shrinkers that gave or could not give pages. */
  readonly reclaimCalls: number;
  readonly reclaimedPages: number;
  /** Calls that got less than they asked for because of `limitPages`. */
  readonly refusedByLimit: number;
  /** Calls that got less than they asked for because of `minPages`. */
  readonly refusedByWatermark: number;
  /** Blocks from below `minPages`, marked as pfmemalloc. */
  readonly reserveBlocks: number;
}

/** What the watermarks need to know of the allocator. */
export interface WatermarkedPages {
  readonly totalPageCount: number;
  /** Free pages that this thread can get at: those on its own list included, those on other threads' lists not. */
  reachablePageCount(): number;
  /** What the list in front keeps; nobody is asked when it hands that out. */
  listedCount(): number;
  drainList(): void;
}

/** The marks as they are in force, in pages. */
export interface PageMarks {
  readonly minPages: number;
  readonly lowPages: number;
  readonly highPages: number;
  readonly limitPages: number;
}

/** Above every count of pages: each slow path asks. */
const ALWAYS = 0x3fffffff;
/** While everything is refused, the shrinkers are asked again every so often: what they keep may have grown. */
const ASK_AGAIN_MASK = 63;
const ROUND_MASK = 0x3fffffff;

/**
 * The marks of one allocator. "Room" is what may still be handed out: free pages less those that `limitPages` closes
 * off. An allocator whose room stays above `low` pays one compare per slow path, with the arena word ALERT_BELOW.
 *
 * Each thread has one over the same marks, and asks its own shrinkers. Pages on other threads' lists count as handed
 * out, so that the limit holds for all threads together.
 */
export class Watermarks implements PageMarks {
  declare readonly minPages: number;
  declare readonly lowPages: number;
  declare readonly highPages: number;
  declare readonly limitPages: number;
  declare private readonly host: Host;
  declare private readonly pages: WatermarkedPages;
  declare private readonly alertAt: number;
  declare private readonly closed: number;
  declare private readonly roundAt: number;
  /** The round in which this thread saw room fall below low; the next one begins when room is at high. */
  declare private pressedIn: number;
  /** Calls refused in a row. */
  declare private refusals: number;
  declare private reclaimCalls: number;
  declare private reclaimedPages: number;
  declare private refusedByLimit: number;
  declare private refusedByWatermark: number;
  declare private reserveBlocks: number;

  /** @param marks null on a thread that attached, which finds them in the arena. */
  constructor(host: Host, pages: WatermarkedPages, marks: PageMarks | null) {
    const at = host.layout.allocatorAt;
    const { minPages, lowPages, highPages, limitPages } = marks ?? loadMarks(host.i32, at + MARKS);
    this.limitPages = limitPages;
    this.minPages = minPages;
    this.lowPages = lowPages;
    this.highPages = highPages;
    this.host = host;
    this.pages = pages;
    this.alertAt = at + ALERT_BELOW;
    this.closed = pages.totalPageCount - limitPages;
    this.roundAt = at + ROUND;
    this.pressedIn = -1;
    this.refusals = 0;
    this.reclaimCalls = 0;
    this.reclaimedPages = 0;
    this.refusedByLimit = 0;
    this.refusedByWatermark = 0;
    this.reserveBlocks = 0;
    if (marks === null) return;
    host.i32[this.alertAt] = this.closed + lowPages;
    host.i32.set([minPages, lowPages, highPages, limitPages], at + MARKS);
  }

  /** What may be handed out above min, asking nobody. For a look under the lock at what was granted before it. */
  unreserved(): number {
    return Math.max(this.room() - this.minPages, 0);
  }

  /** Whether `count` pages, all or none, may be handed out. Counts nothing yet: the reserve may do. */
  grantBlock(count: number): boolean {
    return this.roomFor(count, count) >= count;
  }

  /** How many of `count` pages may be handed out. A shortfall is counted. */
  grantUpTo(count: number): number {
    const granted = Math.min(count, this.roomFor(count, 1));
    if (granted < count) this.countRefusal(count);
    return granted;
  }

  /** How many of `count` pages may go to the list in front, of which one is handed out now; 0 = not even that one. */
  grantRefill(count: number): number {
    const room = this.roomFor(1, 1);
    // Not beyond low, so that the list's pages do not hide the crossing.
    const before = this.isPressed() ? room : Math.max(room + this.minPages - this.lowPages, Math.min(room, 1));
    return Math.min(count, before);
  }

  /** Whether the reserve has `count` pages for the calling context. Counts the answer. */
  grantReserve(count: number): boolean {
    const granted = this.host.context.memalloc && this.room() >= count;
    if (granted) this.reserveBlocks++;
    else this.countRefusal(count);
    return granted;
  }

  stats(): PageAllocatorStats {
    const { reclaimCalls, reclaimedPages, refusedByLimit, refusedByWatermark, reserveBlocks } = this;
    return { reclaimCalls, reclaimedPages, refusedByLimit, refusedByWatermark, reserveBlocks };
  }

  private room(): number {
    return this.pages.reachablePageCount() - this.closed;
  }

  private isPressed(): boolean {
    return this.pressedIn === this.host.i32[this.roundAt];
  }

  /** Pages above min once everybody who should be asked has been; less than `least` means refused. */
  private roomFor(taken: number, least: number): number {
    const { minPages, pages } = this;
    let room = this.room();
    // What stays closed must not be on the list: its pages go out unasked.
    if (room - pages.listedCount() - taken < minPages) pages.drainList();
    const { alertAt, roundAt } = this;
    const { i32 } = this.host;
    if (i32[alertAt] === ALWAYS && room >= this.highPages && room > this.lowPages) this.relax();
    if (!this.isPressed() && room - taken < this.lowPages) {
      this.pressedIn = i32[roundAt]!;
      i32[alertAt] = ALWAYS;
      room = this.reclaim(room, taken);
    } else if (room - least < minPages && !this.host.context.memalloc) {
      if ((this.refusals++ & ASK_AGAIN_MASK) === 0) room = this.reclaim(room, taken);
    }
    if (room - least >= minPages) this.refusals = 0;
    return Math.max(room - minPages, 0);
  }

  /** For every thread: whoever falls below low from here on asks its shrinkers again. */
  private relax(): void {
    const { i32 } = this.host;
    this.refusals = 0;
    i32[this.roundAt] = (i32[this.roundAt]! + 1) & ROUND_MASK;
    i32[this.alertAt] = this.closed + this.lowPages;
  }

  /** Asks the shrinkers for what is missing to high; what they gave lands in the buddy lists. */
  private reclaim(room: number, taken: number): number {
    const { shrinkers } = this.host;
    if (shrinkers.size === 0 || shrinkers.isRunning) return room;
    this.reclaimCalls++;
    this.reclaimedPages += shrinkers.reclaim(Math.max(this.highPages, this.lowPages + 1) - (room - taken));
    this.pages.drainList();
    return this.room();
  }

  private countRefusal(count: number): void {
    const room = this.room();
    if (room >= count) this.refusedByWatermark++;
    else if (room + this.closed >= count) this.refusedByLimit++;
  }
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless 0 <= min <= low <= high <= limit <= all pages. */
export function resolveMarks(params: PageAllocatorParams, totalPages: number): PageMarks {
  const min = params.minPages ?? 0;
  const limitPages = checkInt("limitPages", params.limitPages ?? totalPages, 1, totalPages);
  const minPages = checkInt("minPages", min, 0, limitPages);
  const lowPages = checkInt("lowPages", params.lowPages ?? defaultMark(min, 2, limitPages), min, limitPages);
  const high = params.highPages ?? Math.max(defaultMark(min, 1, limitPages), lowPages);
  const highPages = checkInt("highPages", high, lowPages, limitPages);
  return { minPages, lowPages, highPages, limitPages };
}

/** Whether an allocator has written its marks into the arena. */
export function hasMarks({ i32, layout }: Host): boolean {
  return loadMarks(i32, layout.allocatorAt + MARKS).limitPages > 0;
}

function loadMarks(i32: Int32Array, at: number): PageMarks {
  return { minPages: i32[at]!, lowPages: i32[at + 1]!, highPages: i32[at + 2]!, limitPages: i32[at + 3]! };
}

function defaultMark(min: number, shift: number, limit: number): number {
  return Math.min(min + (min >> shift), limit);
}

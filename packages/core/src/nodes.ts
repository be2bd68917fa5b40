import { failParam } from "./errors.ts";
import type { ArenaLayout } from "./layout.ts";

/** Memory nodes a host may have; node ids are 0 to 7. */
export const MAX_NODES = 8;

/** No preference: the node of the running CPU (kernel: `NUMA_NO_NODE`). */
export const NO_NODE = -1;

/** Nodes begin at multiples of this many bytes. */
const NODE_ALIGN_SHIFT = 22;

/**
 * Which memory node a page is on. The page window is cut into contiguous ranges at 4 MiB boundaries, as equal as that
 * allows; a table with one byte per 4 MiB says whose each is.
 */
export class NodeMap {
  declare readonly count: number;
  /** Shift a page index right by this to index {@link table}. */
  declare readonly shift: number;
  declare readonly table: Uint8Array;
  private readonly firstIdxs: number[] = [];

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) when the page window has fewer pieces of 4 MiB than nodes. */
  constructor(layout: ArenaLayout) {
    this.count = layout.nodes;
    this.shift = NODE_ALIGN_SHIFT - layout.pageShift;
    const first = layout.firstPageIdx >>> this.shift;
    const end = Math.ceil(layout.pageCount / 2 ** this.shift);
    const pieces = end - first;
    if (pieces < this.count) {
      failParam(
        "nodes",
        this.count,
        `at most ${pieces}, one per 4 MiB of pages`,
        "Enlarge arenaBytes or ask for fewer nodes.",
      );
    }
    this.table = new Uint8Array(end);
    for (let nid = 0; nid < this.count; nid++) {
      const from = first + Math.floor((nid * pieces) / this.count);
      this.table.fill(nid, from);
      this.firstIdxs.push(nid === 0 ? layout.firstPageIdx : (from << this.shift) | 0);
    }
    this.firstIdxs.push(layout.pageCount);
  }

  /** First page of a node; that of `count` is the end of the window. */
  firstIdxOf(nid: number): number {
    return this.firstIdxs[nid]!;
  }
}

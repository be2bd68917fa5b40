/*
 * The threads' lists of single pages. A list is an owner record: count, limit, stack of armed references. The directory
 * of the centre names each thread's, so that the pages of all can be counted, and those of a dead worker taken back.
 */
import { type Host, NetmemError, OWN_PRIVATE } from "@netmem/core";
import type { PageCentre } from "./page-centre.ts";

/** Word of a list: the node of its pages. */
export const LIST_NID: number = OWN_PRIVATE + 1;

/** Where a list's count is. With several nodes the first word is hidden from the table-driven push: see page-order0.ts. */
export function countOffset(host: Host): number {
  return host.nodeCount === 1 ? 0 : OWN_PRIVATE;
}

/** Pages on all threads' lists, of one node or, for -1, of all. Those of other threads as they were a moment ago. */
export function listedPages(host: Host, centre: PageCentre, nid: number): number {
  const { i32 } = host;
  const countAt = countOffset(host);
  let pages = 0;
  for (let workerId = 0; workerId < centre.listEnd; workerId++) {
    const at = centre.listOf(workerId);
    if (at !== 0 && (nid < 0 || i32[at + LIST_NID] === nid)) pages += i32[at + countAt]!;
  }
  return pages;
}

/**
 * Puts the list of this thread in the directory.
 * @throws `ERR_NETMEM_WORKER_LISTED` (EBUSY) when a worker of its number is listed: it is alive, or was not reclaimed.
 */
export function openList(host: Host, centre: PageCentre, listAt: number): void {
  const { workerId } = host;
  if (centre.listOf(workerId) === 0) return centre.setListOf(workerId, listAt);
  throw new NetmemError({
    code: "ERR_NETMEM_WORKER_LISTED",
    errno: "EBUSY",
    reason: `the page allocator has a list of worker ${workerId}`,
    remedy: "Give every thread a worker id of its own, and reclaim a dead worker before its id is used again.",
    param: "workerId",
    value: workerId,
  });
}

/*
 * What a worker leaves behind in the page allocator that died, wherever it was: between two stores of a list, or with
 * the lock and the buddy lists half changed. Everything is found in the arena:
 *
 *  - Free blocks have their mark (INFO_BUDDY and the order), and marks never overlap.
 *  - The one block between a list and a caller is in the worker's MOVING word. None of its pages that has no mark has reached anybody.
 *  - What the count of the worker's list covers belongs to the list, whether it is marked as listed yet or as out already.
 *
 * Links, heads and counts are made again from that. What the worker had out, nobody knows: a plain page has no holder.
 */
import {
  checkInt,
  failParam,
  GEN_SHIFT,
  type Host,
  IDX_MASK,
  INFO_BUDDY,
  INFO_ORDER_MASK,
  MAX_WORKERS,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_POOLED,
  META_STATE_MASK,
  OWN_STACK,
  OWNER_STACK_SIZE,
  type PageReclaim,
} from "@netmem/core";
import { MOVING, MOVING_SHIFT } from "./allocator-words.ts";
import type { PageCentre } from "./page-centre.ts";
import { countOffset } from "./thread-lists.ts";

/** Puts the allocator right after worker `workerId`, which runs no more, and takes its list back. */
export function reclaimDead(host: Host, centre: PageCentre, workerId: number): PageReclaim {
  checkInt("workerId", workerId, 0, MAX_WORKERS - 1);
  if (workerId === host.workerId) {
    failParam("workerId", workerId, "another thread's", "Call detach() on the thread that leaves.");
  }
  const heldLock = centre.takeOver(workerId);
  if (!heldLock) centre.lock();
  try {
    const movingPages = heldLock ? rebuild(host, centre, workerId) : 0;
    return { workerId, heldLock, movingPages, listedPages: takeList(host, centre, workerId) };
  } finally {
    centre.unlock();
  }
}

/** Makes the lists of blocks again from the marks, and gives what was on its way home. Returns how many pages that was. */
function rebuild(host: Host, centre: PageCentre, workerId: number): number {
  const { i32, infoAt, layout } = host;
  const blocks = [...markedBlocks(host, layout.firstPageIdx, layout.pageCount)];
  for (const buddy of centre.buddies) buddy.clear();
  // Low blocks last, because the last one put on a list is the first to go out.
  for (const idx of blocks.toReversed()) centre.home(idx).add(idx, i32[infoAt + idx]! & INFO_ORDER_MASK);
  const movingAt = layout.allocatorAt + MOVING + workerId;
  const moving = unmarkedPages(host, i32[movingAt]!);
  i32[movingAt] = 0;
  for (const idx of moving) centre.home(idx).give(idx, 0, i32[idx]! & META_GEN_MASK);
  return moving.length;
}

function* markedBlocks(host: Host, firstIdx: number, endIdx: number): Generator<number> {
  for (let idx = firstIdx; idx < endIdx;) {
    const info = host.i32[host.infoAt + idx]!;
    const isMarked = (info & INFO_BUDDY) !== 0;
    if (isMarked) yield idx;
    idx += isMarked ? 1 << (info & INFO_ORDER_MASK) : 1;
  }
}

/** Pages of the block in a MOVING word that no mark covers. */
function unmarkedPages(host: Host, moving: number): readonly number[] {
  const firstIdx = moving & IDX_MASK;
  const endIdx = moving === 0 ? 0 : firstIdx + (1 << (moving >>> MOVING_SHIFT));
  const pages: number[] = [];
  let idx = firstIdx;
  for (const marked of [...markedBlocks(host, firstIdx, endIdx), endIdx]) {
    for (; idx < marked; idx++) pages.push(idx);
    if (idx < endIdx) idx += 1 << (host.i32[host.infoAt + idx]! & INFO_ORDER_MASK);
  }
  return pages;
}

/** Gives the pages of a worker's list to the buddy lists. Returns how many were on it. */
function takeList(host: Host, centre: PageCentre, workerId: number): number {
  const { i32 } = host;
  const at = centre.listOf(workerId);
  if (at === 0) return 0;
  const countAt = at + countOffset(host);
  const count = Math.min(i32[countAt]!, OWNER_STACK_SIZE);
  let pages = 0;
  for (let i = 0; i < count; i++) {
    const ref = i32[at + OWN_STACK + i]!;
    if (!isOnList(host, ref)) continue;
    const idx = (ref >>> 1) & IDX_MASK;
    centre.home(idx).give(idx, 0, genOfArmed(ref));
    pages++;
  }
  i32[countAt] = 0;
  centre.setListOf(workerId, 0);
  return pages;
}

/** Listed, or on its way out, or on its way in: then it has the generation before. Not so: it is among the blocks already. */
function isOnList(host: Host, ref: number): boolean {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  if (!host.isPlainOwner(meta >>> META_OWNER_SHIFT)) return false;
  const state = meta & META_STATE_MASK;
  const age = (genOfArmed(ref) - meta) & META_GEN_MASK;
  return (age === 0 && (state === META_POOLED || state === META_OUT)) || (age === 1 && state === META_OUT);
}

function genOfArmed(ref: number): number {
  return (ref >>> GEN_SHIFT) & META_GEN_MASK;
}

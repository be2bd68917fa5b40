/*
 * data path
 *
 * The owner's end of a remote return. The thread that returned a buffer compared its meta word and no more: whether the
 * reference is still live is decided here, on the only thread that writes "free". Of two returns of one buffer, from
 * whichever threads, the second is found stale and dropped.
 */
import type { Host } from "./host.ts";
import {
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  META_RETURNING,
  META_STATE_MASK,
} from "./meta.ts";
import { describeMisuse } from "./misuse.ts";
import { GEN_SHIFT as GEN_SHIFT_, IDX_MASK as IDX_MASK_, type NetmemRef } from "./netmem-ref.ts";
import { returnNetmem } from "./return-dispatch.ts";

const IDX_MASK = IDX_MASK_;
const GEN_SHIFT = GEN_SHIFT_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const RETURNING = META_RETURNING;
const RETURNING_TO_OUT = META_RETURNING ^ META_OUT;

/**
 * Brings `refs[0..count)` home, which worker `worker` returned: runs of one owner at a time. May overwrite them. For implementations of
 * `RemoteReturns.drain`.
 */
export function deliverReturns(host: Host, refs: Int32Array, count: number, worker: number): void {
  const { i32, owners } = host;
  host.returnCounts.delivered = (host.returnCounts.delivered + count) | 0;
  let n = 0;
  while (n < count) {
    const ownerId = i32[(refs[n]! >>> 1) & IDX_MASK]! >>> OWNER_SHIFT;
    const owner = owners.get(ownerId);
    if (owner?.returnRemote !== undefined) n += owner.returnRemote(refs, n, count, worker);
    else if (owner === null && isStranded(host, ownerId)) strand(host, refs[n++]! as NetmemRef, ownerId, worker);
    else replay(host, refs[n++]! as NetmemRef, worker);
  }
}

/** Whether a dead worker that this thread took over from left the owner, and nobody adopted it. */
function isStranded(host: Host, ownerId: number): boolean {
  const threadId = host.owners.threadOf(ownerId);
  return threadId >= 0 && host.workers.holderOf(threadId) === host.workerId;
}

/** Returning it once more would bring it here again, and again. It stays where it is. */
function strand(host: Host, ref: NetmemRef, ownerId: number, worker: number): void {
  const { returnCounts } = host;
  returnCounts.refused = (returnCounts.refused + 1) | 0;
  host.warn(
    "WARN_NETMEM_OWNER_STRANDED",
    `worker ${worker} returned ref 0x${ref.toString(16)} of ${host.owners.describe(ownerId)}, which died and was not adopted`,
  );
}

/** An ordinary return, by the owner's own thread. */
function replay(host: Host, ref: NetmemRef, worker: number): void {
  reopen(host, ref);
  try {
    returnNetmem(host, ref);
  } catch {
    refuseReturn(host, ref, worker);
  }
}

/** Makes a buffer that was on an overflow list "out" again, for code that returns it. Owner's thread only. */
export function reopen(host: Host, ref: NetmemRef): void {
  const idx = (ref >>> 1) & IDX_MASK;
  const meta = host.i32[idx]!;
  if ((meta & LIVE_MASK) === (RETURNING | (ref >>> GEN_SHIFT))) host.i32[idx] = meta ^ RETURNING_TO_OUT;
}

/** Drops an entry that is no live reference: counted, and reported with the worker it came from. */
export function refuseReturn(host: Host, ref: NetmemRef, worker: number): void {
  const { returnCounts } = host;
  returnCounts.refused = (returnCounts.refused + 1) | 0;
  const ownerId = host.i32[(ref >>> 1) & IDX_MASK]! >>> OWNER_SHIFT;
  host.warn(
    "WARN_NETMEM_RETURN_REFUSED",
    `worker ${worker} (${host.workers.describe(worker).name}) returned what it did not hold: ${describeMisuse(host, ref, ownerId)}`,
  );
}

/*
 * data path
 *
 * A return is check, push, done: the meta word names the owner, the owner's record holds a small stack, and what is
 * special about a memory type happens when its owner drains that stack. No switch on the type, no method call.
 */
import type { Host } from "./host.ts";
import { OWN_LIMIT as OWN_LIMIT_, OWN_STACK as OWN_STACK_ } from "./layout.ts";
import { META_GEN_MASK, META_OUT, META_OWNER_SHIFT, META_POOLED, META_SHARED, META_STATE_MASK } from "./meta.ts";
import { failReturn, failWrongThread } from "./misuse.ts";
import {
  GEN_ONE as GEN_ONE_,
  GEN_SHIFT as GEN_SHIFT_,
  IDX_MASK as IDX_MASK_,
  type NetmemRef,
  type PageRef,
  REF_MASK as REF_MASK_,
} from "./netmem-ref.ts";
import { NetmemError } from "./errors.ts";
import { fetchAdd, unrefNetmem } from "./refcount.ts";

const GEN_SHIFT = GEN_SHIFT_;
const GEN_ONE = GEN_ONE_;
const IDX_MASK = IDX_MASK_;
const REF_MASK = REF_MASK_;
const LIMIT = OWN_LIMIT_;
const STACK = OWN_STACK_;
const OUT = META_OUT;
const SHARED = META_SHARED;
const OWNER_SHIFT = META_OWNER_SHIFT;
const PLAIN_MASK = META_STATE_MASK | META_GEN_MASK | META_SHARED;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const GEN_MASK = META_GEN_MASK;
const OUT_TO_POOLED = META_OUT ^ META_POOLED;

/** Shared, no room, another thread's, or a mistake. */
function returnOneSlow(host: Host, ref: NetmemRef, meta: number, allowDirect: boolean): void {
  const ownerId = meta >>> OWNER_SHIFT;
  if ((meta & LIVE_MASK) !== (OUT | (ref >>> GEN_SHIFT)) || ref <= 0) failReturn(host, ref, ownerId);
  const owner = host.owners.get(ownerId);
  if (owner !== null) owner.returnSlow(ref, allowDirect);
  else returnAway(host, ref, meta, allowDirect);
}

/** To an owner on another thread. What only a holder of several can decide is decided here; the rest happens there. */
function returnAway(host: Host, ref: NetmemRef, meta: number, allowDirect: boolean): void {
  const ownerId = meta >>> OWNER_SHIFT;
  const threadId = host.owners.threadOf(ownerId);
  if (threadId < 0) failReturn(host, ref, ownerId);
  if (allowDirect) failWrongThread("returnNetmemRxNapi");
  if (host.returns === null) failWrongThread("returnNetmem");
  if ((meta & SHARED) !== 0) {
    const left = unrefNetmem(host, ref, 1);
    if (left > 0) return;
    if (left < 0) failReturn(host, ref, ownerId);
  }
  host.returns.push(ref, threadId);
  if (host.returnsHeld === 0) host.returns.flush();
}

function returnOne(host: Host, ref: NetmemRef, allowDirect: boolean): void {
  const i32 = host.i32;
  const idx = (ref >>> 1) & IDX_MASK;
  const meta = i32[idx]!;
  if ((meta & PLAIN_MASK) !== (OUT | (ref >> GEN_SHIFT))) return returnOneSlow(host, ref, meta, allowDirect);
  // Foreign owners have the record of "nobody" here: no room.
  const at = host.homes[meta >>> OWNER_SHIFT]!;
  const count = i32[at]!;
  if (count >= i32[at + LIMIT]!) return returnOneSlow(host, ref, meta, allowDirect);
  const next = (ref + GEN_ONE) & REF_MASK;
  // In this order, what the count covers is on the stack wherever the thread dies.
  i32[at + STACK + count] = next;
  i32[at] = count + 1;
  i32[idx] = ((meta ^ OUT_TO_POOLED) & ~GEN_MASK) | (next >>> GEN_SHIFT);
}

/**
 * Returns one buffer to whatever owns it, on any thread. The reference is dead afterwards. About 2.5 ns on the owner's
 * thread. On another one the owner sees it when it empties its inbox; some 20 ns for one buffer alone, 3 in a batch, see
 * {@link returnNetmemBulk} and {@link holdReturns}. Kernel: `xdp_return_frame` with `napi_direct` false.
 *
 * @throws a misuse error (`ERR_NETMEM_DOUBLE_PUT`, `..._STALE_REF`, `..._BAD_REF`); nothing has changed then.
 */
export function returnNetmem(host: Host, ref: NetmemRef): void {
  returnOne(host, ref, false);
}

/**
 * As {@link returnNetmem}, promising that the caller is the poll of the owner's NAPI (`xdp_return_frame_rx_napi`).
 * @throws `ERR_NETMEM_WRONG_THREAD` on a thread that is not the owner's; nothing has changed then.
 */
export function returnNetmemRxNapi(host: Host, ref: NetmemRef): void {
  returnOne(host, ref, !host.context.noDirect);
}

/**
 * Returns `refs[from..end)` up to the first entry that is more than a check and a push: shared, no room, another thread's or
 * a mistake. Returns its index, or `end`. The loop calls nothing, so V8 looks at host and arena once: 1.5 ns a buffer.
 */
export function returnRun(host: Host, refs: Int32Array, from: number, end: number): number {
  const { i32, homes } = host;
  let n = from;
  for (; n < end; n++) {
    const ref = refs[n]!;
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = i32[idx]!;
    if ((meta & PLAIN_MASK) !== (OUT | (ref >> GEN_SHIFT))) break;
    const at = homes[meta >>> OWNER_SHIFT]!;
    const count = i32[at]!;
    if (count >= i32[at + LIMIT]!) break;
    const next = (ref + GEN_ONE) & REF_MASK;
    i32[at + STACK + count] = next;
    i32[at] = count + 1;
    i32[idx] = ((meta ^ OUT_TO_POOLED) & ~GEN_MASK) | (next >>> GEN_SHIFT);
  }
  return n;
}

/**
 * Returns `refs[0..count)`, any mix of owners, threads and memory types; owners on other threads get one batch each.
 *
 * @throws a misuse error with `param` "refs[i]": entries before `i` are home, it and the rest stay with the caller.
 */
export function returnNetmemBulk(host: Host, refs: Int32Array, count: number): void {
  let i = 0;
  holdReturns(host);
  try {
    // A worker mostly returns what is another thread's, so that is tried first.
    if (host.threaded !== 0 && host.returns !== null) i = host.returns.takeRun(refs, 0, count);
    for (; i < count; i++) {
      i = returnRun(host, refs, i, count);
      if (i < count) returnOne(host, refs[i]! as NetmemRef, false);
    }
  } catch (cause) {
    failBulkEntry(cause, i);
  } finally {
    flushReturns(host);
  }
}

/**
 * Until {@link flushReturns}, what this thread returns to owners on others is handed over in one batch: 3 ns a buffer
 * instead of 20. Nests. Pair them in try / finally.
 */
export function holdReturns(host: Host): void {
  host.returnsHeld++;
}

/** Ends {@link holdReturns}; the outermost one hands over. */
export function flushReturns(host: Host): void {
  if (--host.returnsHeld === 0 && host.returns !== null) host.returns.flush();
}

/** Rethrows a misuse error with the index of the entry that caused it. */
export function failBulkEntry(cause: unknown, entryIdx: number): never {
  if (!(cause instanceof NetmemError)) throw cause;
  throw new NetmemError({
    code: cause.code,
    ...(cause.errno === undefined ? {} : { errno: cause.errno }),
    reason: `entry ${entryIdx}: ${cause.message.slice(cause.code.length + 2).replace(/\.$/, "")}`,
    remedy: `Entries before ${entryIdx} are home; it and the rest are still yours.`,
    param: `refs[${entryIdx}]`,
    value: cause.value,
    cause,
  });
}

/**
 * Drops one page-level holder (`put_netmem`): a plain page whose last holder goes returns to the page allocator.
 *
 * @throws `ERR_NETMEM_POOL_PAGE_FREED` when it was the last holder of a page that belongs to a pool: the kernel would
 * lose the page from the pool's books. Nothing has changed then.
 */
export function putNetmem(host: Host, ref: NetmemRef): void {
  const idx = (ref >>> 1) & IDX_MASK;
  const meta = host.i32[idx]!;
  if (ref <= 0 || (meta & LIVE_MASK) !== (OUT | (ref >>> GEN_SHIFT))) failReturn(host, ref, 0);
  if ((ref & 1) !== 0) {
    host.areas.of(idx)?.putRef?.(ref);
    return;
  }
  const at = host.pageRefAt + idx;
  const before = fetchAdd(host, at, -1);
  if (before > 0) return;
  host.i32[at] = 0;
  if (!host.isPlainOwner(meta >>> OWNER_SHIFT)) failPoolPage(host, ref, meta);
  host.pages.freePage(ref as PageRef);
}

function failPoolPage(host: Host, ref: NetmemRef, meta: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_POOL_PAGE_FREED",
    reason: `ref 0x${ref.toString(16)} belongs to ${host.owners.describe(meta >>> OWNER_SHIFT)} and has no page reference beyond the pool's own`,
    remedy: "Return it to its pool; putNetmem only undoes getNetmem.",
    param: "ref",
    value: ref,
  });
}

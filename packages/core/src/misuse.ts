import { NetmemError } from "./errors.ts";
import type { Host } from "./host.ts";
import {
  META_GEN_MASK,
  META_OUT,
  META_POOLED,
  META_RETURNING,
  META_STATE_MASK,
  metaOwner,
  metaStateName,
} from "./meta.ts";
import { genOf, idxOf, type NetmemRef } from "./netmem-ref.ts";

interface Verdict {
  readonly code: string;
  readonly reason: string;
  readonly remedy: string;
}

function hex(ref: number): string {
  return `0x${(ref >>> 0).toString(16)}`;
}

function judge(host: Host, ref: NetmemRef, ownerId: number): Verdict {
  const idx = idxOf(ref);
  const what = `ref ${hex(ref)} (index ${idx}, generation ${genOf(ref)})`;
  if (ref <= 0 || idx < host.layout.firstPageIdx || idx >= host.layout.maxNetmems) {
    return {
      code: "ERR_NETMEM_BAD_REF",
      reason: `${what} names no buffer`,
      remedy: "Pass what an alloc call returned.",
    };
  }
  const meta = host.i32[idx]!;
  const gen = meta & META_GEN_MASK;
  const where = `${metaStateName(meta)} with ${host.owners.describe(metaOwner(meta))}, generation ${gen}`;
  const state = meta & META_STATE_MASK;
  const isPast = state !== META_OUT && ((genOf(ref) + 1) & META_GEN_MASK) === gen;
  if (isPast || (state === META_RETURNING && gen === genOf(ref))) {
    return {
      code: "ERR_NETMEM_DOUBLE_PUT",
      reason: `${what} came home already; it is ${where}`,
      remedy: "Return every buffer exactly once.",
    };
  }
  if (state !== META_OUT || gen !== genOf(ref)) {
    const code = state === META_POOLED && gen === genOf(ref) ? "ERR_NETMEM_NOT_OUT" : "ERR_NETMEM_STALE_REF";
    return {
      code,
      reason: `${what} is not the live reference; the buffer is ${where}`,
      remedy: "Drop references when you return a buffer.",
    };
  }
  return {
    code: "ERR_NETMEM_FOREIGN_PUT",
    reason: `${what} does not belong to ${host.owners.describe(ownerId)}; it is ${where}`,
    remedy: "Return it to its own pool, or through returnNetmem, which finds the owner.",
  };
}

/**
 * Throws the misuse error that explains why `ref` cannot be returned to owner `ownerId`. Nothing has been changed.
 *
 * Codes: `ERR_NETMEM_BAD_REF`, `ERR_NETMEM_DOUBLE_PUT`, `ERR_NETMEM_STALE_REF`, `ERR_NETMEM_NOT_OUT`,
 * `ERR_NETMEM_FOREIGN_PUT`.
 */
export function failReturn(host: Host, ref: NetmemRef, ownerId: number): never {
  throw new NetmemError({ ...judge(host, ref, ownerId), param: "ref", value: ref });
}

/** Why `ref` cannot be returned to owner `ownerId`, as one line. */
export function describeMisuse(host: Host, ref: NetmemRef, ownerId: number): string {
  const { code, reason } = judge(host, ref, ownerId);
  return `${code}: ${reason}`;
}

/** Throws `ERR_NETMEM_WRONG_THREAD`: `call` works on the thread that owns the memory only. */
export function failWrongThread(call: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_WRONG_THREAD",
    reason: `${call} was called on a thread that does not own the memory`,
    remedy: "Return buffers by returnNetmem, which finds the owner's thread; do everything else on that thread.",
    param: "call",
    value: call,
  });
}

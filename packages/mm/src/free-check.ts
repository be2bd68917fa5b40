/* data path */
import {
  failReturn,
  GEN_SHIFT as GEN_SHIFT_,
  type Host,
  IDX_MASK as IDX_MASK_,
  INFO_ORDER_MASK as INFO_ORDER_MASK_,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  META_STATE_MASK,
  NetmemError,
  OWNER_ORDER0,
  type PageRef,
} from "@netmem/core";

const GEN_SHIFT = GEN_SHIFT_;
const IDX_MASK = IDX_MASK_;
const ORDER_MASK = INFO_ORDER_MASK_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const OUT = META_OUT;

/**
 * Lets plain pages through that are marked as shared and that nobody else holds, and takes their marks off; everything
 * else is misuse, and nothing has changed then.
 *
 * @throws `ERR_NETMEM_PAGE_SHARED`, and what `failReturn` says.
 */
export function checkFreeable(host: Host, ref: PageRef, meta: number): void {
  const { i32, infoAt } = host;
  const idx = (ref >>> 1) & IDX_MASK;
  const isLive = ref > 0 && (meta & LIVE_MASK) === (OUT | (ref >>> GEN_SHIFT));
  if (!isLive || !host.isPlainOwner(meta >>> OWNER_SHIFT)) failReturn(host, ref, OWNER_ORDER0);
  const holders = i32[host.pageRefAt + idx]! + i32[host.ppRefAt + idx]! + 1;
  if (holders > 1) failShared(ref, holders);
  i32[infoAt + idx] = i32[infoAt + idx]! & ORDER_MASK;
}

function failShared(ref: PageRef, holders: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PAGE_SHARED",
    reason: `page 0x${ref.toString(16)} has ${holders} holders`,
    remedy: "Return it with returnNetmem: the last holder's call frees the page.",
    param: "ref",
    value: ref,
  });
}

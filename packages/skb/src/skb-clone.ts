/* data path */
import { fetchAdd as fetchAdd_ } from "@netmem/core";
import { SHINFO_DATAREF, SHINFO_FRAG_LIST as SHINFO_FRAG_LIST_ } from "./shared-info.ts";
import { consumeList } from "./skb-free.ts";
import { failEmptied } from "./skb-head.ts";
import {
  SKB_DATA,
  SKB_DATA_LEN,
  SKB_FLAGS,
  SKB_LEN,
  SKB_NEXT as SKB_NEXT_,
  SKB_SHINFO,
  SKB_TRUESIZE,
  SkbFlag,
  type SkbRef,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const DATAREF = SHINFO_DATAREF;
const FRAG_LIST = SHINFO_FRAG_LIST_;
const NEXT = SKB_NEXT_;
const DATA = SKB_DATA;
const LEN = SKB_LEN;
const DATA_LEN = SKB_DATA_LEN;
const SHINFO = SKB_SHINFO;
const TRUESIZE = SKB_TRUESIZE;
const FLAGS = SKB_FLAGS;
const CLONED = SkbFlag.Cloned;
const HEAD_STOLEN = SkbFlag.HeadStolen;
const fetchAdd = fetchAdd_;

/**
 * A second skb over the same head, fragments and fragment list (kernel: `skb_clone`): nobody may write the data from here
 * on. Both are consumed, in any order, on any thread; the last one sends the buffers home. 0 when the slab is full.
 * A record and a count: about 6 ns.
 *
 * @throws `ERR_NETMEM_STALE_SKB`, `ERR_NETMEM_SKB_EMPTIED`
 */
export function cloneSkb(slab: SkbSlab, skb: SkbRef): SkbRef | 0 {
  const i32 = slab.i32;
  const from = slab.check(skb);
  const flags = i32[from + FLAGS]! | CLONED;
  if ((flags & HEAD_STOLEN) !== 0) return failEmptied(skb);
  const to = slab.allocAt();
  if (to === 0) return 0;
  const clone = i32[to]! as SkbRef;
  const shinfo = i32[from + SHINFO]!;
  i32[from + FLAGS] = flags;
  i32[to + FLAGS] = flags;
  i32[to + SHINFO] = shinfo;
  i32[to + DATA] = i32[from + DATA]!;
  i32[to + LEN] = i32[from + LEN]!;
  i32[to + DATA_LEN] = i32[from + DATA_LEN]!;
  i32[to + TRUESIZE] = i32[from + TRUESIZE]!;
  // Pairs with the add in consumeSkb: we hold the data, so the count cannot reach zero before.
  fetchAdd(slab.host, shinfo + DATAREF, 1);
  return clone;
}

/**
 * Hangs clones of every skb of `first`'s list on the shared info at `shinfo`, where the list is empty so far (kernel:
 * `skb_clone_fraglist`). False, and nothing changed, when the slab is full.
 */
export function cloneFragList(slab: SkbSlab, first: SkbRef | 0, shinfo: number): boolean {
  const i32 = slab.i32;
  let linkAt = shinfo + FRAG_LIST;
  for (let child = first; child !== 0; child = i32[slab.check(child) + NEXT]! as SkbRef | 0) {
    const copy = cloneSkb(slab, child);
    if (copy === 0) {
      consumeList(slab, i32[shinfo + FRAG_LIST]! as SkbRef | 0);
      i32[shinfo + FRAG_LIST] = 0;
      return false;
    }
    i32[linkAt] = copy;
    linkAt = slab.recordAt(copy) + NEXT;
  }
  return true;
}

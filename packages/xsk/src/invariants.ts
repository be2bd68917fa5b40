import {
  GEN_SHIFT,
  type Host,
  IDX_MASK,
  META_GEN_MASK,
  META_OUT,
  META_POSTED,
  META_STATE_MASK,
  NetmemError,
} from "@netmem/core";
import { type QueueBooks, TX_COUNT_BITS, TX_COUNT_MASK } from "./queue-books.ts";
import type { Umem } from "./umem.ts";
import type { XskRings } from "./xsk-rings.ts";

const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;

interface Tally {
  fillPosted: number;
  txPosted: number;
}

/**
 * Checks a UMEM against the user ends over it: the state of every chunk against that of its buffer, the books of every queue
 * against the states, and, unless the kernel is not to be trusted, the shares of rings and kernel against the books. Time
 * proportional to the UMEM.
 *
 * @throws `ERR_NETMEM_INVARIANT`
 */
export function checkXskInvariants(umem: Umem, ends: readonly XskRings[], isKernelHonest = true): void {
  const tallies = new Map<QueueBooks, Tally>();
  for (const { books } of ends) tallies.set(books, { fillPosted: 0, txPosted: 0 });
  for (let chunk = 0; chunk < umem.chunkCount; chunk++) checkChunk(umem, chunk, tallies);
  for (const [books, { fillPosted, txPosted }] of tallies) {
    if (books.fillPosted !== fillPosted) fail(`${books.fillPosted} chunks on the books, ${fillPosted} posted`);
    if (books.txPosted !== txPosted) fail(`${books.txPosted} descriptors on the books, ${txPosted} sent`);
  }
  if (isKernelHonest) for (const end of ends) checkShares(end);
}

function checkChunk(umem: Umem, chunk: number, tallies: ReadonlyMap<QueueBooks, Tally>): void {
  const { i32 } = umem.host;
  const state = i32[umem.statesAt + chunk]!;
  const isPosted = (i32[umem.firstIdx + chunk]! & META_STATE_MASK) === META_POSTED;
  if (isPosted !== state < 0) fail(`chunk ${chunk} has state ${state}, posted: ${isPosted}`);
  if (state === 0) return;
  for (const [books, tally] of tallies) {
    if (state === books.fillTag) tally.fillPosted++;
    else if (state > 0 && (state ^ books.txTag) >>> TX_COUNT_BITS === 0) tally.txPosted += state & TX_COUNT_MASK;
  }
  if (state > 0) checkLive(umem.host, i32[umem.txRefsAt + chunk]!, chunk);
}

function checkLive(host: Host, ref: number, chunk: number): void {
  const meta = host.i32[(ref >>> 1) & IDX_MASK]!;
  if ((meta & LIVE_MASK) !== (META_OUT | (ref >>> GEN_SHIFT))) fail(`chunk ${chunk} is sent, its buffer not live`);
}

function checkShares(end: XskRings): void {
  const { fillPosted, txPosted } = end.census();
  for (const [name, count] of Object.entries({ ...fillPosted, ...prefixed(txPosted) })) {
    if (count < 0) fail(`${name} is ${count}`);
  }
}

function prefixed(counts: object): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [`tx ${name}`, Number(count)]));
}

function fail(what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_INVARIANT",
    reason: `the frame census is broken: ${what}`,
    remedy: "Report it with the operations that led here: this is a bug in netmem, or memory was overwritten.",
    param: "census",
    value: what,
  });
}

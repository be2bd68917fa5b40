import {
  attachHost,
  createHost,
  genOf,
  type Host,
  type HostParams,
  idxOf,
  INFO_BUDDY,
  INFO_ORDER_MASK,
  makeRef,
  MAX_ORDER,
  META_GEN_MASK,
  metaOwner,
  metaState,
  type NetmemRef,
  NetmemState,
  OWN_STACK,
  OWNER_NONE,
  OWNER_ORDER0,
} from "@netmem/core";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";
import { LISTS } from "../src/allocator-words.ts";
import { attachPageAllocator, createPageAllocator, type PageOrder0 } from "../src/index.ts";

export interface TestHost {
  readonly host: Host;
  readonly pages: PageOrder0;
  /** Further threads of the same arena. */
  readonly others?: readonly TestHost[];
}

/** A host of 4 MiB, the smallest there is, with a page allocator. */
export function createTestHost(params: Partial<HostParams> = {}): TestHost {
  const host = createHost({
    arenaBytes: 4 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    ...params,
  });
  return { host, pages: host.pages as PageOrder0 };
}

/** The same arena as another worker sees it, on this thread; without a page allocator. */
export function attachBare({ host }: TestHost): Host {
  return attachHost(host.share(), { clock: new VirtualClock() });
}

/** The same arena as another worker sees it, on this thread. */
export function attachTestHost({ host }: TestHost): TestHost {
  const other = attachHost(host.share(), { clock: new VirtualClock(), pageAllocator: attachPageAllocator });
  return { host: other, pages: other.pages as PageOrder0 };
}

/** Free blocks by order, of all nodes. */
export function blockCounts(pages: PageOrder0): number[] {
  return Array.from({ length: MAX_ORDER + 1 }, (_, order) =>
    pages.buddies.reduce((count, buddy) => count + buddy.blockCount(order), 0),
  );
}

/** Everything that is out, by its meta words. */
export function scanOut({ host }: TestHost): Map<number, number> {
  const out = new Map<number, number>();
  for (let idx = host.layout.firstPageIdx; idx < host.layout.pageCount;) {
    const isOut = metaState(host.i32[idx]!) === NetmemState.Out;
    const order = isOut ? host.i32[host.infoAt + idx]! & INFO_ORDER_MASK : 0;
    if (isOut) out.set(idx, order);
    idx += 1 << order;
  }
  return out;
}

/** Every word that a call could have changed: table, owners, lists. */
export function snapshot(host: Host): Int32Array {
  return host.i32.slice(0, (host.layout.firstPageIdx << host.pageShift) >> 2);
}

/** Runs `misuse`, which must throw an error with this code and change nothing. Returns the error. */
export function expectRefused(host: Host, code: string | RegExp, misuse: () => void): unknown {
  const before = snapshot(host);
  let error: unknown;
  try {
    misuse();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ name: "NetmemError", code: expect.stringMatching(code) });
  expect(before.findIndex((word, at) => word !== host.i32[at])).toBe(-1);
  return error;
}

function check(ok: boolean, what: string): void {
  if (!ok) throw new Error(what);
}

/** Checks one free block and returns its order. */
function auditBlock(host: Host, idx: number): number {
  const { i32, layout, nodes } = host;
  const nid = nodeOfIdx(host, idx);
  const [firstIdx, endIdx] = [nodes.firstIdxOf(nid), nodes.firstIdxOf(nid + 1)];
  const info = i32[host.infoAt + idx]!;
  const order = info & INFO_ORDER_MASK;
  const size = 2 ** order;
  check(info === (INFO_BUDDY | order), `block ${idx} has stray info bits`);
  check(idx % size === 0, `block ${idx} of order ${order} is not aligned`);
  check(idx >= firstIdx && idx + size <= endIdx, `block ${idx} of order ${order} leaves its node`);
  const other = idx ^ size;
  const buddy = other < firstIdx || other + size > endIdx ? 0 : i32[host.infoAt + other];
  check(
    order === MAX_ORDER || buddy !== (INFO_BUDDY | order),
    `block ${idx} of order ${order} did not merge with its buddy`,
  );
  const next = i32[layout.linkAt + idx]!;
  check(next === 0 || i32[layout.dmaAt + next] === idx, `block ${idx}: the next one's back link is wrong`);
  check(next === 0 || i32[host.infoAt + next] === info, `block ${idx} shares a list with another order`);
  check(next === 0 || nodeOfIdx(host, next) === nid, `block ${idx} shares a list with another node`);
  for (let page = idx; page < idx + size; page++) {
    const meta = i32[page]!;
    check(
      metaState(meta) === NetmemState.Free && metaOwner(meta) === OWNER_NONE,
      `page ${page} of a free block is not free`,
    );
  }
  return order;
}

function nodeOfIdx(host: Host, idx: number): number {
  return host.nodeOf(makeRef(idx, 0, 0));
}

/** Walks the nodes' buddy lists from the blocks without a back link; returns how many they reach. */
function listLength(host: Host, heads: readonly number[]): number {
  const nodes = heads.map((idx) => nodeOfIdx(host, idx));
  check(new Set(nodes).size === heads.length, `lists of nodes ${nodes.join()} have several first blocks`);
  let length = 0;
  for (const head of heads) for (let idx = head; idx !== 0; idx = host.i32[host.linkAt + idx]!) length++;
  return length;
}

/** The indices on a thread's list; each must be armed, single and nobody else's. */
function auditList({ host, pages }: TestHost): number[] {
  const at = host.i32[host.layout.allocatorAt + LISTS + host.workerId]!;
  return Array.from(host.i32.subarray(at + OWN_STACK, at + OWN_STACK + pages.listedCount()), (word) => {
    const ref = word as NetmemRef;
    const idx = idxOf(ref);
    const meta = host.i32[idx]!;
    check((ref & 1) === 0 && ref > 0, `the list holds ${ref}, which is no page`);
    check(
      metaState(meta) === NetmemState.Pooled && metaOwner(meta) === OWNER_ORDER0,
      `listed page ${idx} is not pooled`,
    );
    check((meta & META_GEN_MASK) === genOf(ref), `listed page ${idx} is not armed`);
    check(host.i32[host.infoAt + idx] === 0, `listed page ${idx} has info bits`);
    const nid = Math.min(Math.max(host.context.nid, 0), host.nodeCount - 1);
    check(nodeOfIdx(host, idx) === nid, `listed page ${idx} is not of node ${nid}`);
    return idx;
  });
}

/**
 * Proves that every page of the window is in exactly one place: a free block, a thread's list, or `out` (head index to
 * order). Also that lists are linked well, counters add up and free neighbours have merged.
 */
export function audit(subject: TestHost, out: ReadonlyMap<number, number>): void {
  const { host, pages } = subject;
  const { firstPageIdx, pageCount } = host.layout;
  const listed = [subject, ...(subject.others ?? [])].flatMap(auditList);
  const owners = new Map<number, number>(out);
  for (const idx of listed) {
    check(!owners.has(idx), `page ${idx} is listed twice, or out as well`);
    owners.set(idx, 0);
  }
  const heads: number[][] = Array.from({ length: MAX_ORDER + 1 }, () => []);
  const counts = Array.from({ length: MAX_ORDER + 1 }, () => 0);
  let idx = firstPageIdx;
  while (idx < pageCount) {
    const isBlock = (host.i32[host.infoAt + idx]! & INFO_BUDDY) !== 0;
    const order = isBlock ? auditBlock(host, idx) : owners.get(idx);
    check(!isBlock || !owners.has(idx), `page ${idx} is free and used`);
    if (order === undefined) throw new Error(`page ${idx} is nowhere`);
    owners.delete(idx);
    if (isBlock) counts[order]!++;
    if (isBlock && host.i32[host.layout.dmaAt + idx] === 0) heads[order]!.push(idx);
    idx += 2 ** order;
  }
  check(owners.size === 0, `pages ${[...owners.keys()].join(", ")} lie inside other blocks`);
  check(
    counts.join() === blockCounts(pages).join(),
    `block counters ${blockCounts(pages).join()} for ${counts.join()}`,
  );
  check(
    heads.map((list) => listLength(host, list)).join() === counts.join(),
    "a list does not reach all of its blocks",
  );
  const free = counts.reduce((sum, count, order) => sum + count * 2 ** order, 0);
  check(
    pages.freePageCount() === free + listed.length,
    `free pages: ${pages.freePageCount()} counted, ${free + listed.length} found`,
  );
  const outPages = [...out.values()].reduce((sum, order) => sum + 2 ** order, 0);
  const byNode = Array.from({ length: host.nodeCount }, (_, nid) => pages.freePageCount(nid));
  check(byNode.reduce((a, b) => a + b) === pages.freePageCount(), `nodes with ${byNode.join()} free pages`);
  check(free + listed.length + outPages === pages.totalPageCount, "free and out do not make the total");
}

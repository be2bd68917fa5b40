import { asPageRef, idxOf, type PageRef, returnNetmem, returnNetmemBulk } from "@netmem/core";
import { expect, test } from "vitest";
import { audit, createTestHost, expectRefused, type TestHost } from "./test-host.ts";

const NODES = 3;

function createNumaHost(nodes = NODES, arenaMiB = 4 * NODES): TestHost {
  return createTestHost({ arenaBytes: arenaMiB * 2 ** 20, nodes });
}

/** Takes all pages of one node. */
function exhaust({ pages }: TestHost, nid: number): Int32Array {
  const refs = new Int32Array(pages.freePageCount(nid));
  expect(pages.allocBulk(refs, refs.length, nid, true)).toBe(refs.length);
  expect(pages.freePageCount(nid)).toBe(0);
  return refs;
}

function nodesOf({ host }: TestHost, refs: Iterable<number>): number[] {
  return [...new Set(Array.from(refs, (ref) => host.nodeOf(asPageRef(ref))))];
}

test("a fresh host has each node's pages on the node's own lists", () => {
  const subject = createNumaHost();
  audit(subject, new Map());
  const { host, pages } = subject;
  for (let nid = 0; nid < NODES; nid++) {
    expect(pages.freePageCount(nid)).toBe(host.nodes.firstIdxOf(nid + 1) - host.nodes.firstIdxOf(nid));
  }
  expect(pages.freePageCount(NODES)).toBe(0);
});

test.each([0, 1, 2])("#115 pages come from the node that is asked for: %i", (nid) => {
  const subject = createNumaHost();
  const { host, pages } = subject;
  const refs = new Int32Array(100);
  expect(pages.allocBulk(refs, 100, nid)).toBe(100);
  expect(nodesOf(subject, refs)).toEqual([nid]);
  for (const order of [0, 3, 9]) expect(host.nodeOf(pages.allocPages(order, nid) as PageRef)).toBe(nid);
});

test("without a node, or with -1, it is the context's; the list follows it", () => {
  const subject = createNumaHost();
  const { host, pages } = subject;
  for (const nid of [1, 0, 2]) {
    host.context.nid = nid;
    const refs = [
      pages.allocPages(0),
      pages.allocPages(0, -1),
      pages.allocPages(4),
      pages.allocPages(4, -1),
    ] as PageRef[];
    const bulk = new Int32Array(70);
    expect(pages.allocBulk(bulk, 70)).toBe(70);
    expect(nodesOf(subject, [...refs, ...bulk])).toEqual([nid]);
    const free = pages.freePageCount(nid);
    returnNetmem(host, refs[0]!);
    expect(pages.freePageCount(nid)).toBe(free + 1);
    expect(pages.allocPages(0, nid)).not.toBe(0);
  }
});

test("a context on a node that is not there uses the last one", () => {
  const { host, pages } = createNumaHost();
  host.context.nid = 7;
  expect(host.nodeOf(pages.allocPages(0) as PageRef)).toBe(2);
  host.context.nid = -1;
  expect(host.nodeOf(pages.allocPages(0) as PageRef)).toBe(0);
});

test.each([
  [0, [0, 1, 2, 3]],
  [1, [1, 0, 2, 3]],
  [2, [2, 1, 3, 0]],
  [3, [3, 2, 1, 0]],
  [6, [3, 2, 1, 0]],
])("node %i falls back in order of distance: %j", (nid, order) => {
  const subject = createNumaHost(4, 16);
  const { host, pages } = subject;
  const seen: number[] = [];
  while (pages.freePageCount() > 0) {
    const ref = pages.allocPages(0, nid) as PageRef;
    const from = host.nodeOf(ref);
    if (!seen.includes(from)) {
      seen.push(from);
      exhaust(subject, from);
    }
  }
  expect(seen).toEqual(order);
  expect(pages.allocPages(0, nid)).toBe(0);
});

test("bulk falls back in the same order within one call", () => {
  const subject = createNumaHost();
  const { pages } = subject;
  const sizes = [0, 1, 2].map((nid) => pages.freePageCount(nid));
  const refs = new Int32Array(pages.totalPageCount);
  pages.allocPages(0, 1);
  expect(pages.allocBulk(refs, refs.length, 1)).toBe(pages.totalPageCount - 1);
  expect(nodesOf(subject, refs.subarray(0, sizes[1]! - 1))).toEqual([1]);
  expect(nodesOf(subject, refs.subarray(sizes[1]! - 1, sizes[1]! - 1 + sizes[0]!))).toEqual([0]);
  expect(nodesOf(subject, refs.subarray(sizes[1]! - 1 + sizes[0]!, refs.length - 1))).toEqual([2]);
});

test("strict: the node or nothing, whatever else is free", () => {
  const subject = createNumaHost();
  const { host, pages } = subject;
  const taken = exhaust(subject, 1);
  host.context.nid = 1;
  const refs = new Int32Array(10);
  for (const nid of [1, -1]) {
    for (const order of [0, 5]) expect(pages.allocPages(order, nid, true)).toBe(0);
    expect(pages.allocBulk(refs, 10, nid, true)).toBe(0);
  }
  expect(pages.allocPages(0, undefined, true)).toBe(0);
  expect(host.nodeOf(pages.allocPages(0) as PageRef)).toBe(0);
  pages.freePage(asPageRef(taken[0]!));
  expect(host.nodeOf(pages.allocPages(0, 1, true) as PageRef)).toBe(1);
});

test("strict on a node that is not there: nothing; otherwise the nearest, also with one node", () => {
  for (const { host, pages } of [createNumaHost(), createTestHost()]) {
    const refs = new Int32Array(4);
    expect([pages.allocPages(0, 5, true), pages.allocPages(2, 5, true), pages.allocBulk(refs, 4, 5, true)]).toEqual([
      0, 0, 0,
    ]);
    expect(host.nodeOf(pages.allocPages(2, 5) as PageRef)).toBe(host.nodeCount - 1);
    expect(pages.allocBulk(refs, 4, 5)).toBe(4);
  }
});

test("pages go home to their own node, whichever way they are freed and wherever the caller runs", () => {
  const subject = createNumaHost();
  const { host, pages } = subject;
  const initial = [0, 1, 2].map((nid) => pages.freePageCount(nid));
  for (const nid of [2, 0, 1]) {
    const refs = new Int32Array(200);
    pages.allocBulk(refs, 200, nid);
    const blocks = [pages.allocPages(3, nid), pages.allocPages(0, nid)] as PageRef[];
    host.context.nid = (nid + 1) % NODES;
    returnNetmemBulk(host, refs, 50);
    pages.freeBulk(refs.subarray(50), 100);
    for (const ref of refs.subarray(150)) returnNetmem(host, asPageRef(ref));
    pages.freePage(blocks[0]!);
    returnNetmem(host, blocks[1]!);
    expect([0, 1, 2].map((n) => pages.freePageCount(n))).toEqual(initial);
    audit(subject, new Map());
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => pages.freePage(blocks[0]!));
    expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, blocks[1]!));
  }
});

test("blocks do not merge across a border, also where the border lies inside a largest block", () => {
  const subject = createTestHost({ arenaBytes: 32 * 2 ** 20, pageShift: 16, nodes: 5 });
  audit(subject, new Map());
  const { pages } = subject;
  const refs = new Int32Array(pages.totalPageCount);
  pages.allocBulk(refs, refs.length);
  pages.freeBulk(refs, refs.length);
  pages.drainList();
  audit(subject, new Map());
  expect(new Set(refs).size).toBe(refs.length);
});

test("the list of the local node is emptied when only it can serve another node's caller", () => {
  const subject = createNumaHost(2, 8);
  const { host, pages } = subject;
  exhaust(subject, 1);
  const all = exhaust(subject, 0);
  for (const ref of all.subarray(0, 8)) pages.freePage(asPageRef(ref));
  const got = pages.allocPages(0, 1) as PageRef;
  expect(host.nodeOf(got)).toBe(0);
  const refs = new Int32Array(16);
  expect(pages.allocBulk(refs, 16, 1)).toBe(7);
  expect(new Set([got, ...refs.subarray(0, 7)].map((ref) => idxOf(asPageRef(ref)))).size).toBe(8);
});

test("nodes beyond 7 are refused", () => {
  const { host, pages } = createNumaHost();
  const misuse = [
    () => pages.allocPages(0, 8),
    () => pages.allocPages(0, -2),
    () => pages.allocBulk(new Int32Array(1), 1, 8),
    () => pages.allocPages(11, 1),
  ];
  for (const call of misuse) expectRefused(host, "ERR_NETMEM_INVALID_PARAM", call);
});

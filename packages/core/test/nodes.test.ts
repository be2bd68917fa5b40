import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { attachHost, makeRef, NO_NODE } from "../src/index.ts";

import { createCoreHost } from "./core-host.ts";

const MIB = 2 ** 20;

test("one node unless told, and every page is on it", () => {
  const { host } = createCoreHost();
  expect(host.nodeCount).toBe(1);
  expect(host.nodeOf(makeRef(host.layout.firstPageIdx, 3, 0))).toBe(0);
  expect(host.nodeOf(makeRef(host.layout.pageCount - 1, 3, 0))).toBe(0);
});

test("a net_iov is local everywhere", () => {
  const { host } = createCoreHost({ arenaBytes: 16 * MIB, nodes: 2 });
  expect(host.nodeOf(makeRef(host.layout.pageCount, 0, 1))).toBe(NO_NODE);
});

test.each([
  [12, 8, 32],
  [12, 3, 40],
  [13, 5, 64],
  [16, 4, 64],
])("pageShift %i: %i nodes of %i MiB are equal ranges at 4 MiB boundaries", (pageShift, nodes, arenaMiB) => {
  const { host } = createCoreHost({ arenaBytes: arenaMiB * MIB, pageShift, nodes });
  const { layout } = host;
  const sizes = Array.from({ length: nodes }, () => 0);
  let last = 0;
  for (let idx = layout.firstPageIdx; idx < layout.pageCount; idx++) {
    const nid = host.nodeOf(makeRef(idx, 1, 0));
    expect(nid === last || (nid === last + 1 && (idx << pageShift) % (4 * MIB) === 0)).toBe(true);
    sizes[nid]!++;
    last = nid;
  }
  expect(last).toBe(nodes - 1);
  const perPiece = (4 * MIB) >> pageShift;
  expect(Math.max(...sizes) - Math.min(...sizes.slice(1))).toBeLessThanOrEqual(perPiece);
  expect(sizes.map((_, nid) => host.nodes.firstIdxOf(nid + 1) - host.nodes.firstIdxOf(nid))).toEqual(sizes);
});

test("more nodes than pieces of 4 MiB, or than 8, are refused", () => {
  const refused = { code: "ERR_NETMEM_INVALID_PARAM", param: "nodes" };
  expect(() => createCoreHost({ arenaBytes: 8 * MIB, nodes: 3 })).toThrow(expect.objectContaining(refused));
  expect(() => createCoreHost({ arenaBytes: 64 * MIB, nodes: 9 })).toThrow(expect.objectContaining(refused));
  expect(() => createCoreHost({ arenaBytes: 64 * MIB, nodes: 0 })).toThrow(expect.objectContaining(refused));
});

test("an attached thread sees the same nodes", () => {
  const { host } = createCoreHost({ arenaBytes: 16 * MIB, nodes: 3 });
  const other = attachHost(host.share(), { clock: new VirtualClock() });
  expect(other.nodeCount).toBe(3);
  for (let idx = host.layout.firstPageIdx; idx < host.layout.pageCount; idx += 64) {
    expect(other.nodeOf(makeRef(idx, 0, 0))).toBe(host.nodeOf(makeRef(idx, 0, 0)));
  }
});

test("the context's node tells its listeners", () => {
  const { context } = createCoreHost().host;
  const seen: number[] = [];
  const stop = context.onNid(() => seen.push(context.nid));
  expect(context.nid).toBe(0);
  context.nid = 2;
  stop();
  context.nid = 1;
  expect(seen).toEqual([2]);
});

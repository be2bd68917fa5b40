/** What stands behind the pools: pages and blocks from the page allocator and back. */

import { asPageRef, createHost, MAX_ORDER, returnNetmem } from "@netmem/core";
import { createPageAllocator, createPageShared, type PageOrder0 } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { loopRow } from "../measure.ts";
import { DPDK_MEMPOOL } from "../native.ts";
import type { ScriptRow, Suite } from "../suite.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const BURST = 64;

function newPages(): PageOrder0 {
  const host = createHost({ arenaBytes: ARENA_BYTES, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  return host.pages as PageOrder0;
}

/** One block of 2^order pages, taken and freed; `pagesCounted` operations a turn. */
function blockRow(name: string, order: number, pagesCounted: number): ScriptRow {
  return loopRow({
    name,
    unit: pagesCounted === 1 ? "ns/op" : "ns/page",
    opsPerTurn: pagesCounted,
    setup: newPages,
    run: (pages, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const ref = pages.allocPages(order);
        sum = (sum + ref) | 0;
        pages.freePage(asPageRef(ref));
      }
      return sum;
    },
  });
}

const blocks = Array.from({ length: MAX_ORDER + 1 }, (_, order) => blockRow(`order${order}`, order, 1));

const bulk64 = loopRow({
  name: "bulk64",
  unit: "ns/page",
  opsPerTurn: BURST,
  setup: () => ({ pages: newPages(), refs: new Int32Array(BURST) }),
  run: ({ pages, refs }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const count = pages.allocBulk(refs, BURST);
      sum = (sum + count + refs[0]!) | 0;
      pages.freeBulk(refs, count);
    }
    return sum;
  },
});

const pageShared = loopRow({
  name: "page_shared",
  setup: () => {
    const host = createHost({ arenaBytes: ARENA_BYTES, clock: new VirtualClock(), pageAllocator: createPageAllocator });
    const shared = createPageShared(host);
    return { host, shared, page: asPageRef(shared.alloc()) };
  },
  run: ({ host, shared, page }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      shared.share(page);
      sum = (sum + shared.holders(page)) | 0;
      returnNetmem(host, page);
    }
    return sum;
  },
});

export const mmSuite: Suite = {
  name: "mm",
  rows: [
    ...blocks,
    blockRow("order3_slice", 3, 8),
    bulk64,
    pageShared,
    { kind: "native", name: "dpdk_single", unit: "ns/op", program: DPDK_MEMPOOL, mode: "single" },
    { kind: "native", name: "dpdk_nocache", unit: "ns/op", program: DPDK_MEMPOOL, mode: "nocache" },
  ],
  ratios: [
    { name: "order3_slice_vs_order0", of: ["order3_slice", "order0"] },
    { name: "bulk64_vs_order0", of: ["bulk64", "order0"] },
    { name: "order0_vs_dpdk", of: ["order0", "dpdk_single"] },
    { name: "dpdk_nocache_vs_single", of: ["dpdk_nocache", "dpdk_single"] },
  ],
};

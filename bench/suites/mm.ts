/** What stands behind the pools: pages and blocks from the page allocator and back. */

import { asPageRef, createHost, type Host, type HostParams, MAX_ORDER, type PageRef, returnNetmem } from "@netmem/core";
import {
  createPageAllocator,
  createPageAllocatorWith,
  createPageFrag,
  createPageShared,
  type PageOrder0,
} from "@netmem/mm";
import { createPagePool } from "@netmem/page-pool";
import { VirtualClock } from "@netmem/testing";
import { loopRow } from "../measure.ts";
import { DPDK_MEMPOOL } from "../native.ts";
import type { ScriptRow, Suite } from "../suite.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const BURST = 64;

function newHost(params: Partial<HostParams> = {}): Host {
  const clock = new VirtualClock();
  return createHost({ arenaBytes: ARENA_BYTES, clock, pageAllocator: createPageAllocator, ...params });
}

function newPages(): PageOrder0 {
  return newHost().pages as PageOrder0;
}

/** A host that other threads may see: blocks and batches take the lock. */
function newSharedPages(): PageOrder0 {
  const host = newHost();
  host.share();
  return host.pages as PageOrder0;
}

/** Marks that are in force and never crossed. */
function newArmedPages(): PageOrder0 {
  const pageAllocator = createPageAllocatorWith({ minPages: 256, limitPages: 8192 });
  return newHost({ pageAllocator }).pages as PageOrder0;
}

/** Two nodes, and a thread that runs on the second. */
function newFarPages(): PageOrder0 {
  const host = newHost({ nodes: 2 });
  host.context.nid = 1;
  return host.pages as PageOrder0;
}

/** One block of 2^order pages, taken and freed; `pagesCounted` operations a turn. */
function blockRow(name: string, order: number, pagesCounted: number, setup = newPages): ScriptRow {
  return loopRow({
    name,
    unit: pagesCounted === 1 ? "ns/op" : "ns/page",
    opsPerTurn: pagesCounted,
    setup,
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

function bulkRow(name: string, setup = newPages, burst = BURST): ScriptRow {
  return loopRow({
    name,
    unit: "ns/page",
    opsPerTurn: burst,
    setup: () => ({ pages: setup(), refs: new Int32Array(burst) }),
    run: ({ pages, refs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const count = pages.allocBulk(refs, burst);
        sum = (sum + count + refs[0]!) | 0;
        pages.freeBulk(refs, count);
      }
      return sum;
    },
  });
}

/** One piece of 2 KiB, cut and given back. */
const pageFrag = loopRow({
  name: "page_frag",
  setup: () => {
    const host = newHost();
    return { host, frag: createPageFrag(host) };
  },
  run: ({ host, frag }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = frag.alloc(2048);
      sum = (sum + ref + frag.lastOffset) | 0;
      returnNetmem(host, asPageRef(ref));
    }
    return sum;
  },
});

/** A ring slot that takes turns with the halves of its page: what drivers did before there was a page pool. */
const pageSharedSlot = loopRow({
  name: "page_shared_slot",
  setup: () => {
    const host = newHost();
    return { host, shared: createPageShared(host) };
  },
  run: ({ host, shared }, turns) => {
    let sum = 0;
    let page: PageRef | 0 = 0;
    for (let i = 0; i < turns; i++) {
      page = shared.nextHalf(page, shared.lastOffset);
      sum = (sum + page + shared.lastOffset) | 0;
      shared.share(asPageRef(page));
      returnNetmem(host, asPageRef(page));
    }
    if (page !== 0) returnNetmem(host, page);
    return sum;
  },
});

const pagePoolDirect = loopRow({
  name: "page_pool",
  setup: () => createPagePool(newHost(), { poolSize: 1024 }),
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const page = pool.allocPages();
      sum = (sum + page) | 0;
      pool.recycleDirect(asPageRef(page));
    }
    return sum;
  },
});

const pageShared = loopRow({
  name: "page_shared",
  setup: () => {
    const host = newHost();
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
    bulkRow("bulk64"),
    bulkRow("bulk256", newPages, 4 * BURST),
    blockRow("order0_shared", 0, 1, newSharedPages),
    blockRow("order3_shared", 3, 1, newSharedPages),
    bulkRow("bulk256_shared", newSharedPages, 4 * BURST),
    blockRow("order0_armed", 0, 1, newArmedPages),
    bulkRow("bulk64_armed", newArmedPages),
    blockRow("numa2_order0", 0, 1, newFarPages),
    bulkRow("numa2_bulk64", newFarPages),
    pageFrag,
    pageShared,
    pageSharedSlot,
    pagePoolDirect,
    { kind: "native", name: "dpdk_single", unit: "ns/op", program: DPDK_MEMPOOL, mode: "single" },
    { kind: "native", name: "dpdk_nocache", unit: "ns/op", program: DPDK_MEMPOOL, mode: "nocache" },
  ],
  ratios: [
    { name: "order3_slice_vs_order0", of: ["order3_slice", "order0"] },
    { name: "armed_vs_plain", of: ["order0_armed", "order0"], bar: "<=1.05" },
    { name: "armed_bulk_vs_plain", of: ["bulk64_armed", "bulk64"], bar: "<=1.05" },
    { name: "shared_vs_one_thread", of: ["order0_shared", "order0"], bar: "<=1.05" },
    { name: "shared_block_vs_one_thread", of: ["order3_shared", "order3"] },
    { name: "shared_bulk_vs_one_thread", of: ["bulk256_shared", "bulk256"], bar: "<=1.1" },
    { name: "numa2_vs_one_node", of: ["numa2_order0", "order0"] },
    { name: "page_frag_vs_order0", of: ["page_frag", "order0"] },
    { name: "page_shared_vs_page_pool", of: ["page_shared_slot", "page_pool"] },
    { name: "bulk64_vs_order0", of: ["bulk64", "order0"] },
    { name: "order0_vs_dpdk", of: ["order0", "dpdk_single"] },
    { name: "dpdk_nocache_vs_single", of: ["dpdk_nocache", "dpdk_single"] },
  ],
};

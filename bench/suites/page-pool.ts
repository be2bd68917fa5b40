import type { Suite } from "../suite.ts";
import { pagePoolRows } from "./page-pool/netmem.ts";
import { pagePoolYardsticks } from "./page-pool/yardsticks.ts";

/** One buffer out and home again. */
export const pagePoolSuite: Suite = {
  name: "page-pool",
  rows: [...pagePoolRows, ...pagePoolYardsticks],
  ratios: [
    { name: "direct_vs_dpdk", of: ["direct", "dpdk_single"], bar: "<=0.9" },
    { name: "direct_vs_freelist", of: ["direct", "freelist"], bar: "<=3.5" },
    { name: "bulk64_vs_direct", of: ["bulk64", "direct"], bar: "<=0.7" },
    { name: "ring_vs_direct", of: ["ring", "direct"], bar: "<=2.5" },
    { name: "dma_flags_vs_none", of: ["direct_dma", "direct"], bar: "<=1.15" },
    { name: "dma_sync_vs_none", of: ["direct_dma_sync", "direct"] },
    { name: "refill_numa2_vs_1", of: ["refill_numa2", "refill_numa1"] },
    { name: "slow_vs_direct", of: ["slow", "direct"] },
    { name: "frag_vs_direct", of: ["frag", "direct"] },
    { name: "allocUnsafe4096_vs_direct", of: ["allocUnsafe4096", "direct"], bar: ">=20" },
    { name: "thingMalloc_vs_direct", of: ["thingMalloc_pair", "direct"], bar: ">=1.3" },
    { name: "pools64_vs_pool1", of: ["pools64", "pool1"], bar: "<=1.4" },
    { name: "bulk64_vs_dpdk", of: ["bulk64", "dpdk_bulk64"] },
    { name: "burst64_vs_dpdk", of: ["burst64_shuffled1024", "dpdk_burst64_shuffled1024"] },
  ],
};

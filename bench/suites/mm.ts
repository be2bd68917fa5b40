import { DPDK_MEMPOOL } from "../native.ts";
import type { Suite } from "../suite.ts";

/** What stands behind the pools: one page from the shared centre and back. */
export const mmSuite: Suite = {
  name: "mm",
  rows: [
    { kind: "native", name: "dpdk_single", unit: "ns/op", program: DPDK_MEMPOOL, mode: "single" },
    { kind: "native", name: "dpdk_nocache", unit: "ns/op", program: DPDK_MEMPOOL, mode: "nocache" },
  ],
  ratios: [{ name: "dpdk_nocache_vs_single", of: ["dpdk_nocache", "dpdk_single"] }],
};

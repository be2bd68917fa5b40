import type { Suite } from "../suite.ts";
import { pagePoolYardsticks } from "./page-pool/yardsticks.ts";

/** One buffer out and home again. */
export const pagePoolSuite: Suite = {
  name: "page-pool",
  rows: [...pagePoolYardsticks],
  ratios: [
    { name: "freelist_vs_dpdk", of: ["freelist", "dpdk_single"] },
    { name: "allocUnsafe4096_vs_freelist", of: ["allocUnsafe4096", "freelist"] },
  ],
};

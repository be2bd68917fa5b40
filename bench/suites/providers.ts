import type { Suite } from "../suite.ts";
import { backendRatios, backendRows } from "./providers/devmem-backends.ts";
import { devmemRatios, devmemRows } from "./providers/devmem.ts";
import { iotlbRows } from "./providers/iotlb.ts";
import { refillRows } from "./providers/refill.ts";
import { tlbRows } from "./providers/tlb.ts";

/** What memory providers cost, and what huge pages save. */
export const providersSuite: Suite = {
  name: "providers",
  rows: [...refillRows, ...iotlbRows, ...tlbRows, ...devmemRows, ...backendRows],
  ratios: [
    { name: "fast_with_provider_vs_without", of: ["direct_provider", "direct_pages"], bar: "<=1.02" },
    { name: "huge_refill_vs_page_bulk", of: ["refill_huge", "refill_pages"], bar: "<=1" },
    { name: "huge_refill_vs_mapped_pages", of: ["refill_huge", "refill_pages_iommu"] },
    { name: "split_refill_vs_page_bulk", of: ["refill_split", "refill_pages"] },
    { name: "adaptors3_vs_none", of: ["refill_huge_adaptors3", "refill_huge"] },
    { name: "iotlb_misses_4k_vs_2m", of: ["iotlb_4k", "iotlb_2m"], bar: ">=10" },
    { name: "tlb_read_2m_vs_4k", of: ["tlb_read_2m", "tlb_read_4k"] },
    ...devmemRatios,
    ...backendRatios,
  ],
};

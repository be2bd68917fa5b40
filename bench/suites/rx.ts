import { KERNEL_XDP_DROP } from "../native.ts";
import type { NativeRow, Suite } from "../suite.ts";
import { rxRows } from "./rx/netmem.ts";

const kernelRow: NativeRow = {
  kind: "native",
  name: "kernel_live_xdp_drop_64B",
  unit: "ns/packet",
  program: KERNEL_XDP_DROP,
  mode: "drop64",
};

/** One packet from the wire to its verdict. */
export const rxSuite: Suite = {
  name: "rx",
  rows: [...rxRows, kernelRow],
  ratios: [
    { name: "rx_drop_64B_vs_kernel_live", of: ["rx_drop_64B", "kernel_live_xdp_drop_64B"], bar: "<=0.9" },
    { name: "rx_skb_consume_64B_vs_rx_drop_64B", of: ["rx_skb_consume_64B", "rx_drop_64B"], bar: "<=2.0" },
    { name: "split_page_vs_page_pool", of: ["rx_drop_64B_split_page", "rx_drop_64B"] },
    { name: "order0_vs_page_pool", of: ["rx_drop_64B_order0", "rx_drop_64B"] },
    { name: "rx_direct_dma_vs_none", of: ["rx_direct_64B", "rx_drop_64B"] },
    { name: "rx_iommu_vs_direct_dma", of: ["rx_iommu_64B", "rx_direct_64B"] },
    { name: "map_per_packet_vs_keep_mapped", of: ["rx_iommu_64B_order0", "rx_iommu_64B"] },
    { name: "flow_rules_vs_none", of: ["rx_drop_64B_steered", "rx_drop_64B"] },
  ],
};

import { KERNEL_XDP_DROP } from "../native.ts";
import type { Suite } from "../suite.ts";

/** One packet from the wire to its verdict. */
export const rxSuite: Suite = {
  name: "rx",
  rows: [
    {
      kind: "native",
      name: "kernel_live_xdp_drop_64B",
      unit: "ns/packet",
      program: KERNEL_XDP_DROP,
      mode: "drop64",
    },
  ],
  ratios: [],
};

import { skbRatios, skbRows } from "./dispatch/skb.ts";
import type { Suite } from "../suite.ts";
import { bystanderRows } from "./dispatch/bystanders.ts";
import { returnRows } from "./dispatch/returns.ts";

/** Buffers of many types and owners on their way home. */
export const dispatchSuite: Suite = {
  name: "dispatch",
  rows: [...returnRows, ...bystanderRows, ...skbRows],
  ratios: [
    ...skbRatios,
    { name: "bulk_return_vs_direct", of: ["bulk_six_types", "direct_six_types"], bar: "<=1" },
    { name: "bulk_return_vs_owners", of: ["bulk_six_types", "owner_six_types"] },
    { name: "types5_interleaved_vs_1", of: ["five_types_a_burst", "one_type_a_burst"], bar: "<=1.1" },
    { name: "pools64_providers_live_vs_1", of: ["provided_pools64", "provided_pool1"], bar: "<=1.4" },
    { name: "types_idle_vs_none", of: ["types_idle100", "types_idle0"], bar: "<=1.02" },
    { name: "frame_bulk_vs_single", of: ["frame2_bulk", "frame2"] },
  ],
};

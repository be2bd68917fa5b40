/** Packets through the NIC model, a driver and its pool. Every packet is hashed, written by DMA and looked at. */

import { XdpVerdict } from "@netmem/netdev";
import { loopRow } from "../../measure.ts";
import type { Row, ScriptRow } from "../../suite.ts";
import { BURST, type Composition, type RigOptions, RxRig } from "./rig.ts";

const UNIT = "ns/packet";
const PHASE_BURSTS = 2000;

function rxRow(
  name: string,
  composition: Composition,
  frameBytes: readonly number[],
  verdict: number,
  options: RigOptions = {},
): ScriptRow {
  return loopRow({
    name,
    unit: UNIT,
    opsPerTurn: BURST,
    setup: () => new RxRig(composition, frameBytes, verdict, options),
    run: (rig, turns) => {
      for (let i = 0; i < turns; i++) rig.burst();
      return rig.consumed;
    },
  });
}

/** The same packets, the clock running in one of the two parts only. Two clock readings per 64 packets are in it. */
function phaseRow(name: string, part: "nic" | "driver"): ScriptRow {
  return {
    kind: "script",
    name,
    unit: UNIT,
    measure: ({ samples }) => {
      const rig = new RxRig("page_pool", [64], XdpVerdict.Drop);
      return Array.from({ length: samples }, () => samplePhase(rig, part));
    },
  };
}

function samplePhase(rig: RxRig, part: "nic" | "driver"): number {
  let tookMs = 0;
  for (let n = 0; n < PHASE_BURSTS; n++) {
    const start = performance.now();
    rig.receive();
    const written = performance.now();
    rig.scheduler.runUntilIdle();
    tookMs += part === "nic" ? written - start : performance.now() - written;
  }
  return (tookMs * 1e6) / (PHASE_BURSTS * BURST);
}

export const rxRows: readonly Row[] = [
  rxRow("rx_drop_64B", "page_pool", [64], XdpVerdict.Drop),
  phaseRow("rx_drop_64B_nic_part", "nic"),
  phaseRow("rx_drop_64B_driver_part", "driver"),
  rxRow("rx_drop_64B_split_page", "split_page", [64], XdpVerdict.Drop),
  rxRow("rx_drop_64B_order0", "order0", [64], XdpVerdict.Drop),
  rxRow("rx_drop_64B_steered", "page_pool", [64], XdpVerdict.Drop, { isSteered: true }),
  rxRow("rx_direct_64B", "page_pool", [64], XdpVerdict.Drop, { dma: "direct" }),
  rxRow("rx_iommu_64B", "page_pool", [64], XdpVerdict.Drop, { dma: "iommu" }),
  rxRow("rx_iommu_64B_split_page", "split_page", [64], XdpVerdict.Drop, { dma: "iommu" }),
  rxRow("rx_iommu_64B_order0", "order0", [64], XdpVerdict.Drop, { dma: "iommu" }),
  rxRow("rx_skb_consume_64B", "page_pool", [64], XdpVerdict.Pass),
  rxRow("rx_tx_64B", "page_pool", [64], XdpVerdict.Tx),
  rxRow("rx_drop_1500B", "page_pool", [1514], XdpVerdict.Drop),
  rxRow("rx_drop_mix", "page_pool", [64, 570, 1514], XdpVerdict.Drop),
  rxRow("rx_skb_consume_9000B", "page_pool", [9014], XdpVerdict.Pass),
];

/** IOTLB misses of four receive rings, counted exactly: no time is measured. */

import type { Host } from "@netmem/core";
import { createIommuDevice, type IommuDevice } from "@netmem/dma";
import type { Row, ScriptRow } from "../../suite.ts";
import type { PagePool } from "netmem";
import { type Kind, makePool } from "./stand.ts";

const QUEUES = 4;
const RING = 1024;
const BURST = 64;
const ROUNDS = 8;

/** Misses per thousand packets when a NIC with an IOTLB of 64 entries fills the rings' buffers in turn, a burst per queue. */
function missesPerThousand(kind: Kind): number {
  const iommus: IommuDevice[] = [];
  const dma = (host: Host): IommuDevice => {
    const iommu = createIommuDevice(host, { iotlbEntries: 64 });
    iommus.push(iommu);
    return iommu;
  };
  const pool = makePool(kind, {}, dma);
  const rings = Array.from({ length: QUEUES }, () => ringOf(pool));
  const burst = new Int32Array(BURST);
  for (let n = 0; n < (ROUNDS * RING) / BURST; n++) {
    const from = (n * BURST) % RING;
    for (const ring of rings) {
      burst.set(ring.subarray(from, from + BURST));
      pool.host.dma?.translateMany(burst, BURST);
    }
  }
  const { hits, misses, faults } = iommus[0]!.stats();
  if (faults !== 0 || hits + misses !== QUEUES * ROUNDS * RING)
    throw new Error("the device did not reach every buffer");
  return (1000 * misses) / (hits + misses);
}

/** DMA addresses of a ring's buffers. */
function ringOf(pool: PagePool): Int32Array {
  const refs = new Int32Array(RING);
  if (pool.allocBulk(refs, RING) !== RING) throw new Error("the pool is exhausted");
  return refs.map((ref) => pool.getDmaAddr(ref as never));
}

function iotlbRow(name: string, kind: Kind): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "misses/1000 pkts",
    measure: ({ samples }) => {
      const misses = missesPerThousand(kind);
      return Array.from({ length: samples }, () => misses);
    },
  };
}

export const iotlbRows: readonly Row[] = [iotlbRow("iotlb_4k", "pages"), iotlbRow("iotlb_2m", "huge")];

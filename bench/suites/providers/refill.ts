/** The pool's fast path beside a provider, and the way to the provider and back. */

import type { NetmemRef } from "@netmem/core";
import { createIommuDevice } from "@netmem/dma";
import type { DmaDevice, Host } from "@netmem/core";
import { loopRow } from "../../measure.ts";
import type { Row, ScriptRow } from "../../suite.ts";
import { type Kind, makePool } from "./stand.ts";

/** More than cache and ring hold, so that most of a round goes to the provider and comes from there. */
const ROUND = 1024;

function directRow(name: string, kind: Kind): ScriptRow {
  return loopRow({
    name,
    setup: () => makePool(kind),
    run: (pool, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const ref = pool.allocNetmem();
        if (ref === 0) throw new Error("the pool is exhausted");
        sum = (sum + ref) | 0;
        pool.recycleDirect(ref);
      }
      return sum;
    },
  });
}

/** Takes 1024 buffers and puts them from a context without direct access into a ring of one: all but a few leave the pool. */
function refillRow(name: string, kind: Kind, dma?: (host: Host) => DmaDevice): ScriptRow {
  return loopRow({
    name,
    unit: "ns/buffer",
    opsPerTurn: ROUND,
    setup: () => ({ pool: makePool(kind, { poolSize: 1, directRecycle: "napi" }, dma), refs: new Int32Array(ROUND) }),
    run: ({ pool, refs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const count = pool.allocBulk(refs, ROUND);
        sum = (sum + refs[count - 1]!) | 0;
        for (let k = 0; k < count; k++) pool.put(refs[k]! as NetmemRef, -1, false);
      }
      return sum;
    },
  });
}

export const refillRows: readonly Row[] = [
  directRow("direct_pages", "pages"),
  directRow("direct_provider", "huge"),
  refillRow("refill_pages", "pages"),
  refillRow("refill_huge", "huge"),
  refillRow("refill_huge_adaptors3", "adaptors3"),
  refillRow("refill_split", "split"),
  refillRow("refill_pages_iommu", "pages", createIommuDevice),
];

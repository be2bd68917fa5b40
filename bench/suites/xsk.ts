/** AF_XDP: what the rings and buffers cost in this process. `af-xdp` measures them beside C and the kernel. */

import { asNetmemRef, type Host } from "@netmem/core";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import { AddrConsumer, createUmem, createXskBuffPool, type XskBuffPool, xskRingLayout } from "@netmem/xsk";
import { createHost } from "netmem";
import { loopRow } from "../measure.ts";
import type { Suite } from "../suite.ts";
import { BURST, RawRig, RingsRig } from "./xsk/rig.ts";

const newHost = (): Host => createHost({ arenaBytes: 64 * 2 ** 20 });

/** A kernel's pool whose buffers are all in its free list. */
function newBuffs(): XskBuffPool {
  const host = newHost();
  const { geometry } = createUmem(host, { ownBytes: 256 * 4096 });
  const layout = xskRingLayout(host.heap.allocWords(4096), 256);
  const pool = createXskBuffPool(host, { name: "bench", geometry, fill: new AddrConsumer(host.i32, layout) });
  for (let n = 0; n < 256; n++) host.i32[layout.descsAt + n * 2] = n * 4096;
  host.i32[layout.producerAt] = 256;
  const refs = new Int32Array(256);
  pool.allocBulk(refs, 256);
  for (const ref of refs) pool.free(asNetmemRef(ref));
  return pool;
}

const buffAllocFree = loopRow({
  name: "xsk_buff",
  setup: newBuffs,
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = pool.allocNetmem();
      sum = (sum + ref) | 0;
      if (ref !== 0) pool.free(ref);
    }
    return sum;
  },
});

const buffBatch = loopRow({
  name: "xsk_buff_batch64",
  unit: "ns/buffer",
  opsPerTurn: BURST,
  setup: () => ({ pool: newBuffs(), refs: new Int32Array(BURST) }),
  run: ({ pool, refs }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const n = pool.allocBulk(refs, BURST);
      for (let k = 0; k < n; k++) pool.free(asNetmemRef(refs[k]!));
      sum = (sum + n) | 0;
    }
    return sum;
  },
});

const pagePoolDirect = loopRow<PagePool>({
  name: "page_pool_direct",
  setup: () => createPagePool(newHost(), {}),
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = pool.allocNetmem();
      sum = (sum + ref) | 0;
      if (ref !== 0) pool.recycleDirect(ref);
    }
    return sum;
  },
});

const rxRefill = loopRow({
  name: "rx_refill64",
  unit: "ns/packet",
  opsPerTurn: BURST,
  setup: () => {
    const rig = new RingsRig();
    rig.umem.frames!.allocBulk(rig.refs, BURST);
    rig.rings.post(rig.refs, BURST);
    return rig;
  },
  run: (rig, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      rig.echoRx();
      const n = rig.rings.receive(BURST);
      sum = (sum + rig.rings.post(rig.rings.refs, n)) | 0;
    }
    if (sum !== ((turns * BURST) | 0)) throw new Error("packets were lost");
    return sum;
  },
});

const rawRefill = loopRow({
  name: "rx_refill64_raw",
  unit: "ns/packet",
  opsPerTurn: BURST,
  setup: () => {
    const rig = new RawRig();
    rig.fillEnd.room(BURST);
    for (let n = 0; n < BURST; n++) rig.fillEnd.put(n * 4096, 0);
    rig.fillEnd.submit();
    return rig;
  },
  run: (rig, turns) => {
    const { fillEnd, rxEnd, host } = rig;
    const { i32 } = host;
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      rig.echoRx();
      const n = rxEnd.peek(BURST);
      if (fillEnd.room(n) < n) throw new Error("the fill ring is full");
      for (let k = 0; k < n; k++) fillEnd.put(i32[rxEnd.at(k)]! & -4096, 0);
      rxEnd.release(n);
      fillEnd.submit();
      sum = (sum + n) | 0;
    }
    return sum;
  },
});

const txComplete = loopRow({
  name: "tx_complete64",
  unit: "ns/packet",
  opsPerTurn: BURST,
  setup: () => new RingsRig(),
  run: (rig, turns) => {
    const { rings, refs, umem, host } = rig;
    const frames = umem.frames!;
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const n = frames.allocBulk(refs, BURST);
      for (let k = 0; k < n; k++) rings.transmitOne(asNetmemRef(refs[k]!), frames.startOf(asNetmemRef(refs[k]!)), 64);
      rings.submitTx();
      rig.echoTx();
      sum = (sum + rings.complete(BURST) + host.threaded) | 0;
    }
    return sum;
  },
});

export const xskSuite: Suite = {
  name: "xsk",
  rows: [rxRefill, rawRefill, txComplete, buffAllocFree, buffBatch, pagePoolDirect],
  ratios: [
    { name: "checked_vs_raw", of: ["rx_refill64", "rx_refill64_raw"] },
    { name: "xsk_buff_vs_page_pool", of: ["xsk_buff", "page_pool_direct"] },
    { name: "xsk_buff_batch_vs_single", of: ["xsk_buff_batch64", "xsk_buff"] },
    { name: "rx_refill_vs_page_pool", of: ["rx_refill64", "page_pool_direct"] },
  ],
};

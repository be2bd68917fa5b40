/** The page pool's own rows: the kernel's three loops, bulk, fragments, bursts and many pools. */

import { type DmaDevice, getNetmem, type Host, idxOf, type NetmemRef, putNetmem } from "@netmem/core";
import { createDirectDevice } from "@netmem/dma";
import { createHost, createPagePool, PagePoolFlag, type PagePool, type PagePoolParams } from "netmem";
import { loopRow } from "../../measure.ts";
import type { Row, ScriptRow } from "../../suite.ts";
import { randomOrder } from "./random-indexes.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const BURST = 64;
const HELD = 1024;
const POOLS = 64;
const POOLS_MASK = POOLS - 1;

function newHost(): Host {
  return createHost({ arenaBytes: ARENA_BYTES });
}

/** A pool with `prefill` buffers that have been through it once. */
function warmPool(host: Host, params: PagePoolParams, prefill: number): PagePool {
  const pool = createPagePool(host, params);
  const refs = new Int32Array(prefill);
  const count = pool.allocBulk(refs, prefill);
  for (let i = 0; i < count; i++) pool.putFullPage(refs[i]! as NetmemRef);
  return pool;
}

function take(pool: PagePool): NetmemRef {
  const ref = pool.allocNetmem();
  if (ref === 0) throw new Error("the pool is exhausted");
  return ref;
}

const direct = loopRow({
  name: "direct",
  setup: () => warmPool(newHost(), {}, BURST),
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = take(pool);
      sum = (sum + ref) | 0;
      pool.recycleDirect(ref);
    }
    return sum;
  },
});

/** What the rows with DMA flags differ in. */
interface DmaSubject {
  readonly pool: PagePool;
  /** Syncs that the device was asked for. */
  readonly syncs: () => number;
}

const DMA_PARAMS: PagePoolParams = { flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev, maxLenBytes: 1536 };

function dmaRow(name: string, setup: () => DmaSubject): ScriptRow {
  return loopRow({
    name,
    setup,
    run: ({ pool, syncs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const ref = take(pool);
        sum = (sum + ref) | 0;
        pool.recycleDirect(ref);
      }
      return (sum + syncs()) | 0;
    },
  });
}

/** A coherent device: nothing is left to do between two users of a page. */
const directDma = dmaRow("direct_dma", () => {
  const host = createHost({ arenaBytes: ARENA_BYTES, dma: createDirectDevice });
  return { pool: warmPool(host, DMA_PARAMS, BURST), syncs: () => 0 };
});

/** A device that wants every page synced, and copies nothing: what the pool's side of it costs. */
class SyncingDevice implements DmaDevice {
  readonly name = "syncing";
  readonly needsSync = true;
  syncs = 0;

  map(ref: NetmemRef): number {
    return idxOf(ref);
  }

  unmap(): void {}

  syncForDevice(_pfn: number, _offset: number, len: number): void {
    this.syncs = (this.syncs + len) | 0;
  }

  syncForCpu(): void {}

  translateMany(): void {}
}

const directDmaSync = dmaRow("direct_dma_sync", () => {
  const dma = new SyncingDevice();
  const host = createHost({ arenaBytes: ARENA_BYTES, dma });
  return { pool: warmPool(host, DMA_PARAMS, BURST), syncs: () => dma.syncs };
});

/** 64 buffers through the ring per turn, every one of whose nodes is looked at. */
function refillRow(name: string, nodes: number): ScriptRow {
  return loopRow({
    name,
    opsPerTurn: BURST,
    setup: () => {
      const host = createHost({ arenaBytes: ARENA_BYTES, nodes });
      const pool = warmPool(host, { directRecycle: "napi" }, BURST);
      return { pool, refs: new Int32Array(BURST) };
    },
    run: ({ pool, refs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const count = pool.allocBulk(refs, BURST);
        sum = (sum + refs[0]!) | 0;
        for (let k = 0; k < count; k++) pool.putFullPage(refs[k]! as NetmemRef);
      }
      return sum;
    },
  });
}

const ring = loopRow({
  name: "ring",
  setup: () => warmPool(newHost(), { directRecycle: "napi" }, BURST),
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = take(pool);
      sum = (sum + ref) | 0;
      pool.putFullPage(ref);
    }
    return sum;
  },
});

/** An extra page reference at the time of the put makes every page leave the pool. */
const slow = loopRow({
  name: "slow",
  setup: () => {
    const host = newHost();
    return { host, pool: warmPool(host, {}, BURST) };
  },
  run: ({ host, pool }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = take(pool);
      sum = (sum + ref) | 0;
      getNetmem(host, ref);
      pool.recycleDirect(ref);
      putNetmem(host, ref);
    }
    return sum;
  },
});

const bulk64 = loopRow({
  name: "bulk64",
  opsPerTurn: BURST,
  setup: () => ({ pool: warmPool(newHost(), {}, BURST), refs: new Int32Array(BURST) }),
  run: ({ pool, refs }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const count = pool.allocBulk(refs, BURST);
      sum = (sum + refs[0]!) | 0;
      pool.putNetmemBulk(refs, count);
    }
    return sum;
  },
});

const frag = loopRow({
  name: "frag",
  setup: () => warmPool(newHost(), {}, BURST),
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const ref = pool.allocFrag(256);
      if (ref === 0) throw new Error("the pool is exhausted");
      sum = (sum + pool.lastOffset) | 0;
      pool.putFullPage(ref);
    }
    return sum;
  },
});

/** 1024 buffers out; each turn sends 64 of them home in random order and takes 64 others. */
const burst = loopRow({
  name: "burst64_shuffled1024",
  opsPerTurn: BURST,
  setup: () => {
    const pool = warmPool(newHost(), {}, HELD);
    const held = new Int32Array(HELD);
    pool.allocBulk(held, HELD);
    return { pool, held, order: randomOrder(HELD), at: 0 };
  },
  run: (subject, turns) => {
    const { pool, held, order } = subject;
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const from = subject.at;
      for (let k = 0; k < BURST; k++) pool.recycleDirect(held[order[from + k]!]! as NetmemRef);
      for (let k = 0; k < BURST; k++) held[order[from + k]!] = take(pool);
      sum = (sum + held[order[from]!]!) | 0;
      subject.at = (from + BURST) & (HELD - 1);
    }
    return sum;
  },
});

/** The same loop over 64 slots, filled with 64 pools or with one: the difference is what many pools cost. */
function rotation(name: string, pools: (host: Host) => PagePool[]): ScriptRow {
  return loopRow({
    name,
    setup: () => pools(newHost()),
    run: (subject, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const pool = subject[i & POOLS_MASK]!;
        const ref = take(pool);
        sum = (sum + ref) | 0;
        pool.recycleDirect(ref);
      }
      return sum;
    },
  });
}

const pool1 = rotation("pool1", (host) => Array.from({ length: POOLS }).fill(warmPool(host, {}, BURST)) as PagePool[]);
const pools64 = rotation("pools64", (host) => Array.from({ length: POOLS }, () => warmPool(host, {}, BURST)));

const refills = [refillRow("refill_numa1", 1), refillRow("refill_numa2", 2)];

export const pagePoolRows: readonly Row[] = [
  direct,
  directDma,
  directDmaSync,
  ring,
  ...refills,
  slow,
  bulk64,
  frag,
  burst,
  pool1,
  pools64,
];

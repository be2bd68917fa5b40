/** What page_pool is measured against: what a Node engineer would use instead, and what a systems engineer would. */

import { MemPool } from "@thi.ng/malloc";
import { create } from "deepool";
import type { ObjectPool } from "deepool";
import { loopRow } from "../../measure.ts";
import { DPDK_MEMPOOL } from "../../native.ts";
import type { NativeRow, Row, ScriptRow } from "../../suite.ts";
import { FreeList } from "./free-list.ts";
import { randomIndexes } from "./random-indexes.ts";

const PAGE_BYTES = 4096;
const LIVE = 64;
const LIVE_MASK = LIVE - 1;
const POOL_SIZE = 1024;
const DRAWS = 4096;
const DRAWS_MASK = DRAWS - 1;
/** A sample of a row that makes garbage is long enough to hold several collections. */
const GARBAGE_MIN_MS = 50;

const allocUnsafe4096 = loopRow({
  name: "allocUnsafe4096",
  minMs: GARBAGE_MIN_MS,
  setup: () => Array.from({ length: LIVE }, () => Buffer.allocUnsafe(PAGE_BYTES)),
  run: (live, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const buffer = Buffer.allocUnsafe(PAGE_BYTES);
      live[i & LIVE_MASK] = buffer;
      sum = (sum + buffer.length) | 0;
    }
    return sum;
  },
});

const uint8array4096 = loopRow({
  name: "uint8array4096",
  minMs: GARBAGE_MIN_MS,
  setup: () => Array.from({ length: LIVE }, () => new Uint8Array(PAGE_BYTES)),
  run: (live, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const buffer = new Uint8Array(PAGE_BYTES);
      live[i & LIVE_MASK] = buffer;
      sum = (sum + buffer.length) | 0;
    }
    return sum;
  },
});

interface ThingSubject {
  readonly pool: MemPool;
  readonly live: Int32Array;
  /** Which of the live blocks is freed next. */
  readonly draws: Int32Array;
}

function thingSubject(): ThingSubject {
  const pool = new MemPool({ size: 4 * POOL_SIZE * PAGE_BYTES });
  const live = Int32Array.from({ length: LIVE }, () => pool.malloc(PAGE_BYTES));
  return { pool, live, draws: randomIndexes(LIVE, DRAWS) };
}

const thingMalloc = loopRow({
  name: "thingMalloc",
  setup: thingSubject,
  run: ({ pool, live, draws }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const at = draws[i & DRAWS_MASK]!;
      pool.free(live[at]!);
      const address = pool.malloc(PAGE_BYTES);
      live[at] = address;
      sum = (sum + address) | 0;
    }
    return sum;
  },
});

const thingMallocPair = loopRow({
  name: "thingMalloc_pair",
  setup: thingSubject,
  run: ({ pool }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const address = pool.malloc(PAGE_BYTES);
      sum = (sum + address) | 0;
      pool.free(address);
    }
    return sum;
  },
});

const deepool = loopRow({
  name: "deepool",
  setup: (): ObjectPool<Uint8Array> => {
    const pool = create(() => new Uint8Array(PAGE_BYTES));
    Array.from({ length: POOL_SIZE }, () => pool.use()).forEach((item) => pool.recycle(item));
    return pool;
  },
  run: (pool, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const item = pool.use();
      sum = (sum + item.length) | 0;
      pool.recycle(item);
    }
    return sum;
  },
});

const freelist = loopRow({
  name: "freelist",
  setup: () => new FreeList(POOL_SIZE),
  run: (list, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      const item = list.pop();
      sum = (sum + item) | 0;
      list.push(item);
    }
    return sum;
  },
});

const scripts: readonly ScriptRow[] = [
  allocUnsafe4096,
  uint8array4096,
  thingMalloc,
  thingMallocPair,
  deepool,
  freelist,
];

function dpdkRow(name: string, mode: string): NativeRow {
  return { kind: "native", name, unit: "ns/op", program: DPDK_MEMPOOL, mode };
}

const natives: readonly NativeRow[] = [
  dpdkRow("dpdk_single", "single"),
  dpdkRow("dpdk_bulk64", "bulk64"),
  dpdkRow("dpdk_burst64_shuffled1024", "burst64"),
];

export const pagePoolYardsticks: readonly Row[] = [...scripts, ...natives];

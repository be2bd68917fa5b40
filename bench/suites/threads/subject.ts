import { type Host, type NetmemRef } from "@netmem/core";
import { createHost, createPagePool, type PagePool } from "netmem";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Role, ThreadInput } from "./thread-input.ts";

const ARENA_BYTES = 64 * 2 ** 20;

/** A host that other threads see, and a pool on it. */
export interface Subject {
  readonly host: Host;
  readonly pool: PagePool;
  readonly idleAt: number;
}

export function newSubject(poolSize: number): Subject {
  const host = createHost({ arenaBytes: ARENA_BYTES });
  host.share();
  const pool = createPagePool(host, { poolSize });
  // From here on its cache never runs dry, and the inbox is not looked at.
  recycle(pool, 1);
  return { host, pool, idleAt: host.heap.allocWords(16) };
}

export async function startThread({ host, idleAt }: Subject, role: Role, at: number): Promise<Worker> {
  const input: ThreadInput = { role, shared: host.share(), at, idleAt };
  const thread = new Worker(new URL("thread.ts", import.meta.url), { workerData: input });
  await once(thread, "message");
  return thread;
}

/** Allocates and recycles, the owner's fast path. */
export function recycle(pool: PagePool, turns: number): number {
  let sum = 0;
  for (let i = 0; i < turns; i++) {
    const ref = pool.allocNetmem() as NetmemRef;
    sum = (sum + ref) | 0;
    pool.recycleDirect(ref);
  }
  return sum;
}

/** As much arithmetic as there is time for. */
export function compute(x: number, turns: number): number {
  let y = x;
  for (let i = 0; i < turns; i++) y = (Math.imul(y, 1664525) + 1013904223) | 0;
  return y;
}

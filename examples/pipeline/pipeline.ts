import { WorkerGroup } from "@netmem/netdev/workers";
import { SimNic } from "@netmem/sim-nic";
import { createHost } from "netmem";
import { setTimeout } from "node:timers/promises";
import { writePacket } from "./packets.ts";
import type { ParseResult } from "./parse.ts";
import type { SinkData, SinkResult } from "./sink.ts";

/** What became of a run's packets. */
export interface PipelineReport {
  readonly offered: number;
  /** Packets that the NIC had no buffer for, because the stages behind it were full. */
  readonly droppedByNic: number;
  readonly received: number;
  /** Packets that a stage could not hand on. */
  readonly droppedBetween: number;
  readonly parse: ParseResult;
  readonly sink: SinkResult;
  readonly ms: number;
  /** Pools that still wait for a buffer. */
  readonly poolsLeft: number;
}

const BURST = 64;
const LOOK_MS = 1;
const moduleOf = (stage: string): URL => new URL(`./${stage}.ts`, import.meta.url);

/** Offers `count` packets, a burst each millisecond, to a sink that meanwhile thinks `thinkMs` about each that it gets. */
export async function runPipeline(count: number, thinkMs: number): Promise<PipelineReport> {
  const host = createHost({ arenaBytes: 64 * 2 ** 20 });
  const nic = new SimNic(host, { queueCount: 1, rxDescCount: 512 });
  const hurryAt = host.heap.allocWords(16);
  const data: SinkData = { thinkMs, hurryAt };
  const group = new WorkerGroup({
    host,
    workers: [
      { name: "rx", module: moduleOf("rx"), hardware: nic.shareQueue(0) },
      { name: "parse", module: moduleOf("parse") },
      { name: "sink", module: moduleOf("sink"), data },
    ],
    links: [
      { from: "rx", to: "parse", size: 256 },
      { from: "parse", to: "sink", size: 256 },
    ],
  });
  await group.start();
  const from = performance.now();
  await offer(nic, count);
  Atomics.store(host.i32, hurryAt, 1);
  Atomics.notify(host.i32, hurryAt);
  // Upstream first: each stage stops when its last buffer is home, and the stages behind it work until then.
  while (group.getStats("rx").rxPackets < nic.getStats().rxPackets) await look(nic);
  await group.stop("rx");
  const ms = performance.now() - from;
  const parse = (await group.stop("parse")) as ParseResult;
  const sink = (await group.stop("sink")) as SinkResult;
  const { rxNoDesc } = nic.getStats();
  const { rxPackets, xmitErrors } = group.getStats("rx");
  await group.close();
  nic.dispose();
  return {
    offered: count,
    droppedByNic: rxNoDesc,
    received: rxPackets,
    droppedBetween: xmitErrors,
    parse,
    sink,
    ms,
    poolsLeft: host.pools.list().length,
  };
}

async function offer(nic: SimNic, count: number): Promise<void> {
  const bytes = new Uint8Array(2048);
  for (let number = 0; number < count; number++) {
    if (number % BURST === 0) await look(nic);
    nic.receive(bytes, 0, writePacket(bytes, number));
  }
}

async function look(nic: SimNic): Promise<void> {
  nic.service();
  await setTimeout(LOOK_MS);
}

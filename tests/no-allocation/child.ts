/*
 * Runs one scenario between two marks on stdout. The parent counts what --trace-gc printed between them.
 */
import { asNetmemRef } from "@netmem/core";
import { XdpVerdict } from "@netmem/netdev";
import { createHost, createPagePool, type PagePool } from "netmem";
import { writeSync } from "node:fs";
import { RxLoop } from "./rx-loop.ts";

const PACKETS = 5_000_000;
const WARM_PACKETS = 500_000;
const BURST = 64;

/** Allocates, returns directly, in bulk, through fragments and out of order. */
function poolLoop(pool: PagePool, out: Int32Array, packets: number): void {
  for (let n = 0; n < packets; n += BURST) {
    const count = pool.allocBulk(out, BURST);
    for (let k = 0; k < count; k += 2) pool.recycleDirect(asNetmemRef(out[k]!));
    for (let k = 1; k < count; k += 2) pool.putFullPage(asNetmemRef(out[k]!));
    const frag = pool.allocFrag(512);
    if (frag !== 0) pool.putFullPage(frag);
  }
}

function poolScenario(): (packets: number) => void {
  const pool = createPagePool(createHost({ arenaBytes: 64 * 2 ** 20 }));
  const out = new Int32Array(BURST);
  return (packets) => poolLoop(pool, out, packets);
}

function rxScenario(arenaBytes: number, verdict: number, leak = false, iommu = false): (packets: number) => void {
  const loop = new RxLoop(arenaBytes, verdict, leak, iommu);
  return (packets) => loop.run(packets);
}

function topScenario(): (packets: number) => void {
  const loop = new RxLoop(2 ** 31, XdpVerdict.Pass, false);
  loop.run(BURST);
  loop.checkTop();
  return (packets) => loop.run(packets);
}

const scenarios: Record<string, () => (packets: number) => void> = {
  pool: poolScenario,
  drop: () => rxScenario(64 * 2 ** 20, XdpVerdict.Drop),
  pass: () => rxScenario(64 * 2 ** 20, XdpVerdict.Pass),
  tx: () => rxScenario(64 * 2 ** 20, XdpVerdict.Tx),
  "pass-iommu": () => rxScenario(64 * 2 ** 20, XdpVerdict.Pass, false, true),
  "pass-top-pages": topScenario,
  "seeded-leak": () => rxScenario(64 * 2 ** 20, XdpVerdict.Pass, true),
};

const name = process.argv[2] ?? "";
const scenario = scenarios[name];
if (scenario === undefined) throw new Error(`unknown scenario ${name}`);
const run = scenario();
run(WARM_PACKETS);
// V8's own trace goes to file descriptor 1 as well: write there at once, so that the order is true.
writeSync(1, "mark: begin\n");
run(PACKETS);
writeSync(1, "mark: end\n");

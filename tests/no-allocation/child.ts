/*
 * Runs one scenario between two marks on stdout. The parent counts what --trace-gc printed between them.
 */
import { asNetmemRef } from "@netmem/core";
import { AF_UNIX, openSystem, POLLIN, SOCK_DGRAM, Wakeup } from "@netmem/linux";
import { XdpVerdict } from "@netmem/netdev";
import { createHost, createPagePool, type PagePool } from "netmem";
import { writeSync } from "node:fs";
import { RxLoop } from "./rx-loop.ts";
import { SkbLoop } from "./skb-loop.ts";
import { XskLoop } from "./xsk-loop.ts";

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

/** Three kernel calls for every fourth packet: far more than a burst of 64 makes. */
function wakeupScenario(): (packets: number) => void {
  const system = openSystem();
  const wakeup = new Wakeup(system);
  const fds = new Int32Array(2);
  system.check("socketpair", system.socketPair(AF_UNIX, SOCK_DGRAM, fds));
  const set = wakeup.createPollSet(2);
  set.add(fds[0]!, POLLIN);
  set.add(fds[1]!, POLLIN);
  return (packets) => {
    let refused = 0;
    for (let n = 0; n < packets; n += 4) {
      refused += wakeup.kickTx(-1) + wakeup.kickRx(fds[0]!) + wakeup.pollOne(fds[1]!, POLLIN, 0) + wakeup.poll(set, 0);
    }
    if (refused === 0) throw new Error("nothing was called");
  };
}

function xskScenario(): (packets: number) => void {
  const loop = new XskLoop();
  return (packets) => loop.run(packets);
}

/** Ten operations on every eighth packet, copies among them. */
function skbScenario(): (packets: number) => void {
  const loop = new SkbLoop();
  return (packets) => loop.run(packets / 8);
}

const scenarios: Record<string, () => (packets: number) => void> = {
  pool: poolScenario,
  drop: () => rxScenario(64 * 2 ** 20, XdpVerdict.Drop),
  pass: () => rxScenario(64 * 2 ** 20, XdpVerdict.Pass),
  tx: () => rxScenario(64 * 2 ** 20, XdpVerdict.Tx),
  "pass-iommu": () => rxScenario(64 * 2 ** 20, XdpVerdict.Pass, false, true),
  "pass-top-pages": topScenario,
  skb: skbScenario,
  xsk: xskScenario,
  wakeup: wakeupScenario,
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

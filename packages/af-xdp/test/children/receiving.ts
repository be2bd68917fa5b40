/*
 * Receives as many packets as the command line says through device, driver and loop, and lets a third pass as skbs, a
 * third be sent back. The parent counts what --trace-gc prints between the two marks.
 */
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { XdpVerdict } from "@netmem/netdev";
import { consumeSkbBulk } from "@netmem/skb";
import { RxLoop } from "../../src/index.ts";
import { makeStand } from "../fixture.ts";

const WARM_PACKETS = 500_000;
const packets = Number(process.argv[2]);
const stand = makeStand({
  port: { rings: { rx: 2048, tx: 2048, fill: 2048, completion: 2048 } },
  arenaBytes: 64 * 2 ** 20,
});
const { device, net, afXdp, scheduler, drivers, skbs } = stand;
let seen = 0;
device.setProgram(() => {
  seen = (seen + 1) | 0;
  if (seen % 3 === 0) return XdpVerdict.Tx;
  return seen % 3 === 1 ? XdpVerdict.Pass : XdpVerdict.Drop;
});
device.setReceiver((received, count) => consumeSkbBulk(skbs, received, count));
device.open();
const { namespace, link } = net.far;
const generator = fileURLToPath(new URL("generating.ts", import.meta.url));
const child = namespace.run(() => spawn(process.execPath, [generator, String(link.ifindex)], { stdio: "inherit" }));
const loop = new RxLoop(afXdp, scheduler, drivers);
const runTo = (count: number): void => {
  loop.poll(() => seen >= count);
};
runTo(WARM_PACKETS);
globalThis.gc?.();
const heapBefore = process.memoryUsage().heapUsed;
writeSync(1, "mark: begin\n");
runTo(WARM_PACKETS + packets);
writeSync(1, "mark: end\n");
globalThis.gc?.();
writeSync(1, `growth: ${process.memoryUsage().heapUsed - heapBefore}\n`);
child.kill("SIGKILL");
stand.close();

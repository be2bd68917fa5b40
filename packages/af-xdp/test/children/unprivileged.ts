/*
 * Runs as nobody, in the near end's namespace, with AF_XDP sockets from its parent on descriptor 3. Prints one line of
 * JSON for what it may not do, and one for what came of the sockets.
 */
import { isNetmemError } from "@netmem/core";
import { openSystem, receiveFds } from "@netmem/linux";
import { XdpVerdict } from "@netmem/netdev";
import { DeviceRegistry, NapiScheduler } from "@netmem/netdev";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { openAfXdp } from "../../src/index.ts";
import { makeDevice, makeHost, pollAll } from "../fixture.ts";

const PARENT = 3;
const NOBODY = 65534;
const rings = { rx: 64, tx: 64, fill: 64, completion: 64 };

const system = openSystem();
const host = makeHost(new VirtualClock(), 6 * 2 ** 20);
const afXdp = openAfXdp(host, { system });
const largeAfXdp = openAfXdp(makeHost(new VirtualClock(), 64 * 2 ** 20), { system });
process.setgroups?.([]);
process.setgid?.(NOBODY);
process.setuid?.(NOBODY);

const message = receiveFds(system, PARENT, 64);
if (typeof message === "number") throw new Error(`no sockets came: ${message}`);
const [first = -1, second = -1] = message.fds;

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return isNetmemError(error) ? `${error.code} ${error.errno}` : String(error);
  }
  return "allowed";
}

const refused = {
  program: codeOf(() => afXdp.openPort({ ifname: "near" })),
  socket: codeOf(() => afXdp.openPort({ ifname: "near", program: "none" }).queue(0).open()),
  memlock: codeOf(() =>
    largeAfXdp
      .openPort({ ifname: "near", program: "none", sockets: [first], rings })
      .queue(0)
      .open(),
  ),
};
console.log(JSON.stringify(refused));

const port = afXdp.openPort({ ifname: "near", program: "none", sockets: [second], rings });
const scheduler = new NapiScheduler(host);
const parts = { host, skbs: new SkbSlab(host), scheduler, registry: new DeviceRegistry() };
const { device } = makeDevice(parts, port, "near");
device.setProgram(() => XdpVerdict.Tx);
device.open();
console.log("open");
const endMs = performance.now() + 5000;
while (device.getStats()[0]!.rxPackets < 10 && performance.now() < endMs) pollAll(scheduler, device);
console.log(JSON.stringify({ packets: device.getStats()[0]!.rxPackets, uid: process.getuid?.() }));
device.close();
afXdp.close();

/* A worker in the near end's namespace, with a host and a loop of its own that sleeps in the kernel. */
import { parentPort, workerData } from "node:worker_threads";
import { DeviceRegistry, NapiScheduler, XdpVerdict } from "@netmem/netdev";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { openAfXdp, RxLoop } from "../../src/index.ts";
import { makeDevice, makeHost } from "../fixture.ts";

const { packets } = workerData as { readonly packets: number };
const host = makeHost(new VirtualClock());
const afXdp = openAfXdp(host);
const port = afXdp.openPort({ ifname: "near" });
const scheduler = new NapiScheduler(host);
const parts = { host, skbs: new SkbSlab(host), scheduler, registry: new DeviceRegistry() };
const { device, drivers } = makeDevice(parts, port, "near");
device.setProgram(() => XdpVerdict.Tx);
device.open();
parentPort?.postMessage("open");
const loop = new RxLoop(afXdp, scheduler, drivers);
const sent = (): number => device.getStats()[0]!.txPackets;
const endMs = performance.now() + 20_000;
loop.poll(() => sent() >= packets || performance.now() > endMs);
device.close();
afXdp.close();
parentPort?.postMessage(sent());

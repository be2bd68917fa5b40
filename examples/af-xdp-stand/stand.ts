import { setTimeout } from "node:timers/promises";
import { type AfXdp, AfXdpDriver, type AfXdpPort, openAfXdp } from "@netmem/af-xdp";
import type { Host } from "@netmem/core";
import { type NetNamespace, openSystem, type System } from "@netmem/linux";
import { createTestnet, type Testnet } from "@netmem/linux/testnet";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SkbSlab } from "@netmem/skb";
import { createHost } from "netmem";
import type { AfXdpOptions } from "./options.ts";

const ARENA_BYTES = 128 * 2 ** 20;
const DRAIN_MS = 2000;
const LOOK_MS = 20;
/** Addresses of the cable's ends. Ours is configured nowhere: it answers where the example does. */
export const OUR_ADDRESS = "10.123.0.1";
export const PEER_ADDRESS = "10.123.0.2";

/** An interface with a device over it, closed, and what stands around. */
export interface Stand {
  readonly system: System;
  /** Our own cable, null on an interface of the machine. */
  readonly net: Testnet | null;
  readonly host: Host;
  readonly afXdp: AfXdp;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly port: AfXdpPort;
  readonly device: NetDevice;
  /** Of all devices. */
  readonly drivers: AfXdpDriver[];
  /** Opens one more interface of the machine, with a device over it that is closed. */
  addDevice(ifname: string): NetDevice;
  /** Closes everything. True when every page came home, which pools find out within two seconds. */
  close(): Promise<boolean>;
}

/** @throws what `openAfXdp` and `openPort` throw; nothing is left then */
export function openStand(options: AfXdpOptions): Stand {
  const system = openSystem();
  const host = createHost({ arenaBytes: ARENA_BYTES });
  const afXdp = openAfXdp(host, { system });
  const peer = { ips: [`${PEER_ADDRESS}/24`] };
  const net = options.ifname === null ? createTestnet(system, { queues: options.queues, far: peer }) : null;
  const skbs = new SkbSlab(host);
  const scheduler = new NapiScheduler(host, { kick: (run) => void setImmediate(run) });
  const registry = new DeviceRegistry();
  const drivers: AfXdpDriver[] = [];
  const devices: NetDevice[] = [];

  const addDevice = (ifname: string, namespace?: NetNamespace): { port: AfXdpPort; device: NetDevice } => {
    const { mode, attach, allowDefaultRoute } = options;
    const port = afXdp.openPort({ ifname, mode, attach, allowDefaultRoute, ...(namespace && { namespace }) });
    const device = new NetDevice({ host, registry, scheduler, skbs, name: ifname });
    for (let n = 0; n < port.queueCount; n++) {
      device.addQueue({
        driver: (queue) => {
          const driver = new AfXdpDriver(host, queue, port.queue(n));
          drivers.push(driver);
          return driver;
        },
      });
    }
    devices.push(device);
    return { port, device };
  };

  const closeAll = (): void => {
    for (const device of devices) device.close();
    afXdp.close();
    net?.close();
  };
  const isHome = (): boolean => skbs.liveCount === 0 && drivers.every((driver) => driver.inflight() === 0);
  const close = async (): Promise<boolean> => {
    closeAll();
    for (let waitedMs = 0; !isHome() && waitedMs < DRAIN_MS; waitedMs += LOOK_MS) await setTimeout(LOOK_MS);
    return isHome();
  };

  try {
    const { port, device } = addDevice(options.ifname ?? net?.near.link.name ?? "", net?.near.namespace);
    const common = { system, net, host, afXdp, skbs, scheduler, drivers };
    return { ...common, port, device, addDevice: (ifname) => addDevice(ifname).device, close };
  } catch (error) {
    closeAll();
    throw error;
  }
}

import type { Clock, Host } from "@netmem/core";
import { createHost } from "@netmem/core";
import { openSystem, probeLinux, type System } from "@netmem/linux";
import { createTestnet, type Testnet, type TestnetParams } from "@netmem/linux/testnet";
import { createPageAllocator } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { type AfXdp, AfXdpDriver, type AfXdpPort, type AfXdpPortParams, openAfXdp } from "../src/index.ts";

/** Why nothing here can run, null when everything can. */
export function whyNoAfXdp(): string | null {
  const report = probeLinux();
  const needs = [report.systemCalls, report.afXdp, report.bpf, report.xdpAttach, report.netNamespaces];
  return needs.find(({ available }) => !available)?.reason ?? null;
}

export interface StandParams {
  readonly testnet?: TestnetParams;
  readonly port?: Partial<AfXdpPortParams>;
  readonly arenaBytes?: number;
}

/** A host with AF_XDP over one end of a cable of our own. */
export interface Stand {
  readonly system: System;
  readonly net: Testnet;
  readonly clock: VirtualClock;
  readonly host: Host;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly registry: DeviceRegistry;
  readonly afXdp: AfXdp;
  /** The near end. */
  readonly port: AfXdpPort;
  /** A device over the port, closed; one queue for each of the port's. */
  readonly device: NetDevice;
  readonly drivers: readonly AfXdpDriver[];
  close(): void;
}

export function makeHost(clock: Clock, arenaBytes = 32 * 2 ** 20): Host {
  return createHost({ arenaBytes, clock, pageAllocator: createPageAllocator });
}

export function makeStand(params: StandParams = {}): Stand {
  const system = openSystem();
  const net = createTestnet(system, params.testnet);
  const clock = new VirtualClock();
  const host = makeHost(clock, params.arenaBytes);
  const afXdp = openAfXdp(host, { system });
  const skbs = new SkbSlab(host);
  const scheduler = new NapiScheduler(host);
  const registry = new DeviceRegistry();
  const { namespace, link } = net.near;
  try {
    const rings = { rx: 256, tx: 256, fill: 256, completion: 256 };
    const port = afXdp.openPort({ ifname: link.name, namespace, rings, ...params.port });
    const common = { host, skbs, scheduler, registry };
    const { device, drivers } = makeDevice(common, port, link.name);
    const close = (): void => {
      device.close();
      afXdp.close();
      net.close();
    };
    return { system, net, clock, ...common, afXdp, port, device, drivers, close };
  } catch (error) {
    afXdp.close();
    net.close();
    throw error;
  }
}

interface DeviceParts {
  readonly host: Host;
  readonly skbs: SkbSlab;
  readonly scheduler: NapiScheduler;
  readonly registry: DeviceRegistry;
}

export function makeDevice(
  parts: DeviceParts,
  port: AfXdpPort,
  name: string,
): { readonly device: NetDevice; readonly drivers: readonly AfXdpDriver[] } {
  const device = new NetDevice({ ...parts, name });
  const drivers: AfXdpDriver[] = [];
  for (let n = 0; n < port.queueCount; n++) {
    device.addQueue({
      driver: (queue) => {
        const driver = new AfXdpDriver(parts.host, queue, port.queue(n));
        drivers.push(driver);
        return driver;
      },
    });
  }
  return { device, drivers };
}

/** Polls every queue of the devices until nothing comes any more. */
export function pollAll(scheduler: NapiScheduler, ...devices: readonly NetDevice[]): void {
  for (let idle = 0; idle < 3;) {
    for (const device of devices) for (const queue of device.queues) if (device.isUp) queue.napi.schedule();
    idle = scheduler.runUntilIdle(1000) > 0 ? 0 : idle + 1;
  }
}

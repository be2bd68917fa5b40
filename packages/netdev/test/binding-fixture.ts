import type { Host, NetmemWarning } from "@netmem/core";
import { createHost } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { asSkbRef, consumeSkb, SkbSlab } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { DeviceRegistry, NapiScheduler, NetDevice, type NetDeviceParams } from "../src/index.ts";
import { ManagedDriver } from "./managed-driver.ts";
import { NiovProvider } from "./niov-provider.ts";

/** A device of managed drivers, and what came out of it. */
export interface BindingStand {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly scheduler: NapiScheduler;
  readonly device: NetDevice;
  readonly drivers: ManagedDriver[];
  readonly providers: readonly [NiovProvider, NiovProvider];
  /** Queue counts that the hardware was told. */
  readonly channels: number[];
  readonly skbs: SkbSlab;
  delivered: number;
}

export function makeBindingStand(queueCount: number, params: Partial<NetDeviceParams> = {}): BindingStand {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes: 16 * 2 ** 20,
    maxNetmems: 4096 + 1024,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
  });
  const skbs = new SkbSlab(host, { skbCount: 1024 });
  const scheduler = new NapiScheduler(host);
  const channels: number[] = [];
  const setQueueCount = (count: number): void => void channels.push(count);
  const registry = new DeviceRegistry();
  const device = new NetDevice({ host, registry, scheduler, skbs, name: "dev0", setQueueCount, ...params });
  const drivers: ManagedDriver[] = [];
  for (let n = 0; n < queueCount; n++) {
    device.addQueue({
      driver: (queue) => {
        const driver = new ManagedDriver(host, queue);
        drivers.push(driver);
        return driver;
      },
    });
  }
  const providers = [new NiovProvider(host, "first", 512), new NiovProvider(host, "second", 512)] as const;
  const stand: BindingStand = {
    host,
    clock,
    warnings,
    scheduler,
    device,
    drivers,
    providers,
    channels,
    skbs,
    delivered: 0,
  };
  device.setReceiver((received, count) => {
    stand.delivered += count;
    for (let n = 0; n < count; n++) consumeSkb(skbs, asSkbRef(received[n]!));
  });
  return stand;
}

/** The code and errno of what `call` throws. */
export function errorOf(call: () => void): string {
  try {
    call();
  } catch (error) {
    const { code, errno } = error as { code?: string; errno?: string };
    return `${errno ?? "no errno"} ${code ?? String(error)}`;
  }
  return "nothing";
}

import { makeStand, type Stand } from "@netmem-examples/driver-stand";
import {
  type Host,
  idxOf,
  type MemoryProviderOps,
  type NetIovArea,
  type NetmemRef,
  type PoolHandle,
} from "@netmem/core";
import { NetDevice } from "@netmem/netdev";
import { asSkbRef, consumeSkb, SkbView } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { PagePoolDriver } from "../driver.ts";

const ORDER = 10;

/** Net_iovs over a block of pages, as an application's own memory is. */
class UserArea implements MemoryProviderOps {
  readonly name = "area";
  readonly opsVersion = 1;
  readonly isReadable = true;
  readonly area: NetIovArea;
  readonly free: NetmemRef[];

  constructor(host: Host) {
    const block = host.pages.allocPages(ORDER);
    if (block === 0) throw new Error("no memory for the area");
    const baseOffset = host.offsetOf(block);
    this.area = host.areas.add({ name: "area", count: 2 ** ORDER, pageShift: host.pageShift, baseOffset });
    this.free = Array.from({ length: 2 ** ORDER }, (_, n) => host.areas.refAt(this.area, n));
    for (const [n, ref] of this.free.entries()) {
      host.i32[host.dmaAt + idxOf(ref)] = (baseOffset >>> host.pageShift) + n;
    }
    host.providers.register(this);
  }

  init(): void {}

  destroy(): void {}

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    const taken = this.free.splice(0, max);
    out.set(taken);
    return taken.length;
  }

  releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    this.free.push(ref);
    return false;
  }

  owns(ref: NetmemRef): boolean {
    return idxOf(ref) >= this.area.firstIdx && idxOf(ref) < this.area.firstIdx + this.area.count;
  }
}

interface World extends Pick<Stand, "host" | "nic" | "scheduler"> {
  readonly clock: VirtualClock;
  readonly device: NetDevice;
  readonly provider: UserArea;
  readonly frame: Uint8Array;
  /** Of each packet: whether all of it is in the area, and right. */
  readonly seen: [isThere: boolean, isRight: boolean][];
}

/** A device that is up, its queue in the area. */
function makeWorld(): World {
  const clock = new VirtualClock();
  const stand = makeStand((host, queue, hw) => new PagePoolDriver(host, queue, hw), { clock });
  const { host, nic, skbs, registry, scheduler } = stand;
  const device = new NetDevice({ host, registry, scheduler, skbs, name: "sim1", queueRules: "perQueue" });
  device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
  const provider = new UserArea(host);
  const seen: World["seen"] = [];
  device.setReceiver((received, count) => {
    for (const skb of received.subarray(0, count)) {
      const view = new SkbView(skbs).of(asSkbRef(skb));
      const refs = [view.head, ...Array.from({ length: view.nrFrags }, (_, n) => view.fragRef(n))];
      const bytes = [...host.u8.subarray(view.data, view.data + view.headLen)];
      for (let n = 0; n < view.nrFrags; n++) {
        bytes.push(...host.u8.subarray(view.fragData(n), view.fragData(n) + view.fragLen(n)));
      }
      seen.push([refs.every((ref) => provider.owns(ref)), bytes.every((byte, n) => byte === ((n * 7) & 0xff))]);
      consumeSkb(skbs, asSkbRef(skb));
    }
  });
  device.open();
  device.openRxqProvider(0, provider);
  const frame = Uint8Array.from({ length: 9000 }, (_, n) => n * 7);
  return { host, nic, scheduler, clock, device, provider, frame, seen };
}

test("a provider of readable net_iovs: packets lie in its memory, long ones too", () => {
  const { nic, scheduler, frame, seen } = makeWorld();
  for (const len of [60, 3000, 9000]) nic.receive(frame, 0, len);
  scheduler.runUntilIdle();
  const isRight = [true, true];
  expect(seen).toEqual([isRight, isRight, isRight]);
});

test("closed, the queue is back in pages, and all of the area is home", () => {
  const { host, nic, scheduler, clock, device, provider, frame, seen } = makeWorld();
  device.closeRxqProvider(0, provider);
  nic.receive(frame, 0, 100);
  scheduler.runUntilIdle();
  expect(seen).toEqual([[false, true]]);
  device.close();
  clock.advance(2000);
  expect([provider.free.length, host.pools.list().length]).toEqual([2 ** ORDER, 0]);
});

import type { Host } from "@netmem/core";
import { asSkbRef, consumeSkb, DropReason, SkbView } from "@netmem/skb";
import { beforeEach, describe, expect, test } from "vitest";
import { DevMap, type FlowRuleInfo, type FlowSteering, NetDevice, QueueCounters, XdpVerdict } from "../src/index.ts";
import { makeDevice, makeStand, type Stand } from "./fixture.ts";
import { MemoryDriver } from "./memory-driver.ts";

let stand: Stand;
let host: Host;
let device: NetDevice;
let drivers: MemoryDriver[];
let received: number[];
let freeBefore: number;

beforeEach(() => {
  stand = makeStand();
  ({ host } = stand);
  ({ device, drivers } = makeDevice(stand, "mem0", 2));
  received = [];
  freeBefore = host.pages.freePageCount();
  device.setReceiver((skbs, count) => received.push(...skbs.subarray(0, count)));
});

function driver(n: number): MemoryDriver {
  const one = drivers[n];
  if (one === undefined) throw new Error(`no driver ${n}`);
  return one;
}

describe("NetDevice", () => {
  test("delivers once per poll, in order, with queue and device in the skb", () => {
    const bursts: number[] = [];
    device.setReceiver((skbs, count) => {
      bursts.push(count);
      received.push(...skbs.subarray(0, count));
    });
    device.open();
    for (let n = 0; n < 100; n++) driver(1).receive(new Uint8Array(60 + n));
    stand.scheduler.runUntilIdle();
    expect(bursts).toEqual([64, 36]);
    const view = new SkbView(stand.skbs);
    expect(received.map((skb) => view.of(asSkbRef(skb)).len)).toEqual(Array.from({ length: 100 }, (_, n) => 60 + n));
    expect([view.queueIdx, view.ifindex]).toEqual([1, device.ifindex]);
    for (const skb of received) consumeSkb(stand.skbs, asSkbRef(skb));
  });

  test("without a receiver packets are dropped for a reason", () => {
    device.setReceiver(null);
    device.open();
    driver(0).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect([stand.skbs.dropCount(DropReason.DevReady), stand.skbs.liveCount]).toEqual([1, 0]);
  });

  test("counts packets dropped because no skb is free, and recycles their buffers", () => {
    const { skbs } = stand;
    device.open();
    const free = host.pages.freePageCount();
    while (skbs.alloc() !== 0);
    driver(0).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect(device.getStats()[0]).toMatchObject({ skbNoMem: 1, xdpPass: 1, rxPackets: 1 });
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("a program of one queue leaves the others alone", () => {
    device.setProgram(() => XdpVerdict.Drop, 1);
    device.open();
    driver(0).receive(new Uint8Array(60));
    driver(1).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect(device.getStats().map((stats) => stats.xdpDrop)).toEqual([0, 1]);
    device.setProgram(null);
    driver(1).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect(received).toHaveLength(2);
    expect(() => device.setProgram(null, 2)).toThrow("queueIdx");
  });

  test("registers its queues with the memory registry while it is up", () => {
    expect(device.queues[0]?.info.regState).toBe(0);
    device.open();
    expect(device.queues.map((queue) => [queue.info.regState, queue.info.ifindex, queue.info.mem.type])).toEqual([
      [1, device.ifindex, 1],
      [1, device.ifindex, 1],
    ]);
    device.close();
    expect(device.queues[1]?.info.regState).toBe(2);
  });

  test("a driver that cannot start takes the whole device down again", () => {
    device.addQueue({
      driver: () => ({
        composition: "broken",
        start: () => {
          throw new Error("no memory for you");
        },
        stop: () => received.push(-1),
        poll: () => 0,
        xdpXmit: () => 0,
        inflight: () => 0,
        getStats: () => driver(0).getStats(),
      }),
    });
    const free = host.pages.freePageCount();
    expect(() => device.open()).toThrow("no memory for you");
    expect([device.isUp, host.pages.freePageCount(), received]).toEqual([false, free, []]);
    expect(device.queues.map((queue) => [queue.info.regState, queue.napi.isEnabled])).toEqual([
      [2, false],
      [2, false],
      [2, false],
    ]);
  });

  test("a driver that cannot be made leaves nothing", () => {
    const fails = (): never => {
      throw new Error("no such driver");
    };
    const addAll = (): void => {
      for (let n = 0; n < 256; n++) expect(() => device.addQueue({ driver: fails })).toThrow("no such driver");
    };
    // The heap keeps the pages that it cut.
    addAll();
    const free = host.pages.freePageCount();
    addAll();
    expect([host.pages.freePageCount(), device.queues.length]).toEqual([free, 2]);
  });

  test("a driver whose stop throws does not keep its queue registered, nor the others running", () => {
    device.open();
    const stop = driver(1).stop.bind(driver(1));
    driver(1).stop = () => {
      stop();
      throw new Error("a frame came home twice");
    };
    expect(() => device.close()).toThrow("a frame came home twice");
    expect(device.isUp).toBe(false);
    expect(device.queues.map((queue) => [queue.info.regState, queue.napi.isEnabled])).toEqual([
      [2, false],
      [2, false],
    ]);
    driver(1).stop = stop;
    device.open();
    device.close();
  });

  test("is not closed from inside of a poll, which would go on with a queue that is stopped", () => {
    const busy = expect.objectContaining({ code: "ERR_NETMEM_QUEUE_BUSY", errno: "EBUSY" });
    let refused = 0;
    device.setProgram(() => {
      for (const close of [() => device.close(), () => device.unregister()]) {
        expect(close).toThrow(busy);
        refused++;
      }
      return XdpVerdict.Drop;
    });
    device.open();
    driver(0).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect([refused, device.isUp, device.isRegistered]).toEqual([2, true, true]);
    device.close();
    expect(host.pages.freePageCount()).toBe(freeBefore);
  });

  test("refuses what needs it down", () => {
    device.open();
    const up = expect.objectContaining({ code: "ERR_NETMEM_DEVICE_UP", errno: "EBUSY" });
    expect(() => device.open()).toThrow(up);
    expect(() => device.addQueue({ driver: () => driver(0) })).toThrow(up);
    device.close();
    expect(() => device.addQueue({ driver: () => driver(0), weight: 65 })).toThrow("weight");
  });

  test("names and indices: unique, never used twice", () => {
    expect(() => makeDevice(stand, "mem0")).toThrow(expect.objectContaining({ code: "ERR_NETMEM_NAME_TAKEN" }));
    const { ifindex } = device;
    device.unregister();
    expect([stand.registry.get(ifindex), stand.registry.list()]).toEqual([null, []]);
    const next = makeDevice(stand, "mem0").device;
    expect(next.ifindex).toBe(ifindex + 1);
    expect(stand.registry.byName("mem0")).toBe(next);
  });
});

describe("sending", () => {
  test("redirects to another device through a map, in order; unknown keys take the fallback", () => {
    const peer = makeDevice(stand, "mem1");
    const map = new DevMap(4);
    map.set(2, peer.device.ifindex);
    device.setProgram((xdp) => map.redirect(xdp, host.u8[xdp.data] ?? 0, XdpVerdict.Drop));
    device.open();
    peer.device.open();
    for (const key of [2, 1, 2, 9]) driver(0).receive(new Uint8Array(60).fill(key));
    stand.scheduler.runUntilIdle();
    expect(peer.drivers[0]?.sent.map((frame) => frame[0])).toEqual([2, 2]);
    expect(device.getStats()[0]).toMatchObject({ xdpRedirect: 2, xdpDrop: 2, xmitErrors: 0 });
    map.set(2, 0);
    driver(0).receive(new Uint8Array(60).fill(2));
    stand.scheduler.runUntilIdle();
    expect(device.getStats()[0]).toMatchObject({ xdpDrop: 3 });
    expect(() => map.set(4, 1)).toThrow("key");
  });

  test("keeps order over targets that alternate, and drops for a device that is down", () => {
    const peers = ["a", "b"].map((name) => makeDevice(stand, name));
    const down = makeDevice(stand, "down").device;
    const targets = [...peers.map((peer) => peer.device.ifindex), down.ifindex];
    let n = 0;
    device.setProgram((xdp) => {
      xdp.redirectIfindex = targets[n++ % 3] ?? 0;
      return XdpVerdict.Redirect;
    });
    device.open();
    for (const peer of peers) peer.device.open();
    const free = host.pages.freePageCount();
    for (let seed = 0; seed < 30; seed++) driver(0).receive(new Uint8Array(60).fill(seed));
    stand.scheduler.runUntilIdle();
    expect(peers.map((peer) => peer.drivers[0]?.sent.map((frame) => frame[0]))).toEqual([
      Array.from({ length: 10 }, (_, k) => k * 3),
      Array.from({ length: 10 }, (_, k) => k * 3 + 1),
    ]);
    expect(device.getStats()[0]).toMatchObject({ xdpRedirect: 30, xmitErrors: 10 });
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("a packet without room for a frame record is dropped and counted", () => {
    device.setProgram((xdp) => {
      // What a driver with too little headroom would hand over.
      xdp.dataHardStart = xdp.data - 36;
      return XdpVerdict.Tx;
    });
    device.open();
    driver(0).receive(new Uint8Array(60));
    stand.scheduler.runUntilIdle();
    expect(device.getStats()[0]).toMatchObject({ frameErrors: 1, xdpTx: 1, txPackets: 0 });
  });
});

describe("QueueCounters", () => {
  test("wide counters carry over 32 bits", () => {
    const counters = new QueueCounters(host);
    for (let n = 0; n < 5; n++) counters.addWide(2, 0x7fffffff);
    expect(counters.read().rxBytes).toBe(5 * 0x7fffffff);
    counters.addWide(2, 0);
    counters.addWide(2, 5);
    expect(counters.getWide(2)).toBe(5 * 0x80000000);
  });

  test("narrow counters wrap at 32 bits", () => {
    const counters = new QueueCounters(host);
    counters.add(9, 0x7fffffff);
    counters.add(9, 0x7fffffff);
    expect(counters.get(9)).toBe(0xfffffffe);
    counters.add(9, 3);
    expect(counters.get(9)).toBe(1);
  });
});

describe("flow rules", () => {
  test("are refused without hardware that steers", () => {
    const unsupported = expect.objectContaining({ code: "ERR_NETMEM_FLOW_UNSUPPORTED", errno: "EOPNOTSUPP" });
    expect(() => device.addFlowRule({ queueIdx: 0 })).toThrow(unsupported);
    expect(() => device.removeFlowRule(1)).toThrow(unsupported);
    expect(device.flowRules()).toEqual([]);
  });

  test("go to the hardware, are listed by device, and end with it", () => {
    let nextId = 100;
    const inForce = new Map<number, FlowRuleInfo>([[7, { id: 7, rule: { queueIdx: 5 }, packets: 0, bytes: 0 }]]);
    const steering: FlowSteering = {
      addFlowRule(rule) {
        const id = nextId++;
        inForce.set(id, { id, rule, packets: 3, bytes: 4 });
        return id;
      },
      removeFlowRule(id) {
        if (!inForce.delete(id)) throw new Error(`there is no flow rule ${id}`);
      },
      flowRules: () => [...inForce.values()],
    };
    const steered = new NetDevice({ ...stand, name: "steered", steering });
    steered.addQueue({ driver: (queue) => new MemoryDriver(host, queue) });
    const wrongQueue = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", param: "queueIdx" });
    expect(() => steered.addFlowRule({ queueIdx: 1 })).toThrow(wrongQueue);
    const first = steered.addFlowRule({ queueIdx: 0, protocol: "udp" });
    const second = steered.addFlowRule({ queueIdx: 0 });
    steered.removeFlowRule(first);
    expect(steered.flowRules()).toEqual([{ id: second, rule: { queueIdx: 0 }, packets: 3, bytes: 4 }]);
    // One that somebody else took out of the hardware is no reason to stay.
    const lost = steered.addFlowRule({ queueIdx: 0, protocol: "tcp" });
    inForce.delete(lost);
    steered.unregister();
    expect([[...inForce.keys()], stand.registry.byName("steered")]).toEqual([[7], null]);
  });
});

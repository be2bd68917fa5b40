import { asNetmemRef, type ReadableRef } from "@netmem/core";
import { asSkbRef, consumeSkb, FRAG_REF, fragAt, type XdpBuff } from "@netmem/skb";
import { beforeEach, describe, expect, test } from "vitest";
import { type NetDevice, XdpVerdict } from "../src/index.ts";
import { type BindingStand, errorOf, makeBindingStand } from "./binding-fixture.ts";
import type { ManagedDriver } from "./managed-driver.ts";
import type { NiovProvider } from "./niov-provider.ts";

let stand: BindingStand;
let device: NetDevice;
let first: NiovProvider;
let second: NiovProvider;

beforeEach(() => {
  stand = makeBindingStand(8);
  ({ device } = stand);
  [first, second] = stand.providers;
});

function driver(n: number): ManagedDriver {
  return stand.drivers[n]!;
}

function splitAndOpen(): void {
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  for (const { calls } of stand.drivers) calls.length = 0;
  device.open();
}

const drop = (): number => XdpVerdict.Drop;

/** What a program may claim, wrongly, to be readable. */
function firstFrag(xdp: XdpBuff): ReadableRef {
  return asNetmemRef(stand.host.i32[fragAt(xdp.sharedInfoAt(), 0) + FRAG_REF]!) as ReadableRef;
}

describe("opening a provider on a queue", () => {
  test("#160 an index beyond the real queues is ERANGE, whatever else is wrong; without the ops lock EOPNOTSUPP comes first", () => {
    device.setProgram(drop);
    expect(errorOf(() => device.openRxqProvider(8, first))).toBe("ERANGE ERR_NETMEM_QUEUE_RANGE");
    expect(errorOf(() => device.openRxqProvider(-1, first))).toBe("ERANGE ERR_NETMEM_QUEUE_RANGE");
    device.setChannels(4);
    expect(errorOf(() => device.openRxqProvider(4, first))).toBe("ERANGE ERR_NETMEM_QUEUE_RANGE");
    const unlocked = makeBindingStand(1, { opsLock: false });
    expect(errorOf(() => unlocked.device.openRxqProvider(9, unlocked.providers[0]))).toBe(
      "EOPNOTSUPP ERR_NETMEM_QUEUE_UNSUPPORTED",
    );
  });

  test("#161 split off, threshold, program, second provider, AF_XDP: the errors come in this order, fixed one at a time", () => {
    device.setHeaderSplit({ hdsThreshBytes: 1 });
    device.setProgram(drop, 5);
    device.attachXskPool(2, {}, "copy");
    const open = (): string => errorOf(() => device.openRxqProvider(2, second, { rxPageSizeBytes: 8192 }));
    expect(open()).toBe("EINVAL ERR_NETMEM_HEADER_SPLIT_OFF");
    device.setHeaderSplit({ tcpDataSplit: "enabled" });
    expect(open()).toBe("EINVAL ERR_NETMEM_HDS_THRESH");
    device.setHeaderSplit({ hdsThreshBytes: 0 });
    expect(open()).toBe("EEXIST ERR_NETMEM_XDP_ATTACHED");
    device.setProgram(null);
    expect(open()).toBe("EOPNOTSUPP ERR_NETMEM_QUEUE_UNSUPPORTED");
    const plain = (): string => errorOf(() => device.openRxqProvider(2, second));
    expect(plain()).toBe("EBUSY ERR_NETMEM_XSK_BOUND");
    device.detachXskPool(2);
    device.openRxqProvider(2, first);
    expect(plain()).toBe("EEXIST ERR_NETMEM_PROVIDER_BOUND");
    device.attachXskPool(2, {}, "copy");
    expect(plain()).toBe("EEXIST ERR_NETMEM_PROVIDER_BOUND");
    device.closeRxqProvider(2, first);
    expect(plain()).toBe("EBUSY ERR_NETMEM_XSK_BOUND");
    device.detachXskPool(2);
    expect(plain()).toBe("nothing");
  });

  test("a driver without queue management is EOPNOTSUPP, before header split is looked at", () => {
    Object.defineProperty(driver(1), "mgmt", { value: undefined });
    expect(errorOf(() => device.openRxqProvider(1, first))).toBe("EOPNOTSUPP ERR_NETMEM_QUEUE_UNSUPPORTED");
  });

  test("what the driver says of the composition is passed on, and nothing has changed", () => {
    splitAndOpen();
    driver(3).faults.validate = new Error("not on this queue");
    expect(() => device.openRxqProvider(3, first)).toThrow("not on this queue");
    expect([device.queues[3]?.provider, first.initCount, driver(3).calls]).toEqual([null, 0, ["alloc", "start"]]);
  });

  test("a driver that makes no pool over the provider is ENODATA; the queue runs on as it was", () => {
    splitAndOpen();
    driver(3).faults.ignoresProvider = true;
    expect(errorOf(() => device.openRxqProvider(3, first))).toBe("ENODATA ERR_NETMEM_PROVIDER_IGNORED");
    expect([device.queues[3]?.provider, driver(3).memCount]).toEqual([null, 1]);
    expect(driver(3).calls).toEqual(["alloc", "start", "alloc", "free"]);
    // An old pool over the same provider that waits for its last buffer does not count as one.
    driver(3).faults.ignoresProvider = false;
    device.openRxqProvider(3, first);
    const kept = driver(3).mem!.payload.allocNetmem();
    device.closeRxqProvider(3, first);
    expect(first.outCount).toBe(1);
    driver(3).faults.ignoresProvider = true;
    expect(errorOf(() => device.openRxqProvider(3, first))).toBe("ENODATA ERR_NETMEM_PROVIDER_IGNORED");
    expect(kept).not.toBe(0);
  });

  test("a provider that refuses the pool is passed on, and nothing has changed", () => {
    splitAndOpen();
    first.refusal = Object.assign(new Error("too small"), { code: "ERR_TEST", errno: "E2BIG" });
    expect(() => device.openRxqProvider(3, first)).toThrow("too small");
    expect([device.queues[3]?.provider, driver(3).memCount, device.isQueueRunning(3)]).toEqual([null, 1, true]);
  });

  test("the queue restarts on the provider's memory and receives into it; closing brings ordinary pages back", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    expect(driver(2).calls).toEqual(["alloc", "start", "alloc", "stop", "start", "free"]);
    expect([driver(2).mem?.payload.rxq, first.initCount, first.outCount > 31]).toEqual([device.queues[2], 1, true]);
    for (let n = 0; n < 100; n++) driver(2).receive(1000);
    stand.scheduler.runUntilIdle();
    device.closeRxqProvider(2, first);
    expect([device.queues[2]?.provider, first.outCount, first.destroyCount]).toEqual([null, 0, 1]);
    expect([stand.delivered, stand.warnings]).toEqual([32, []]);
    expect(driver(2).receive(1000)).toBe(true);
  });

  test("from inside a poll it is EBUSY", () => {
    splitAndOpen();
    let error = "";
    device.setReceiver(() => {
      error = errorOf(() => device.openRxqProvider(0, first));
    });
    driver(1).receive(100);
    stand.scheduler.runUntilIdle();
    expect([error, device.queues[0]?.provider]).toEqual(["EBUSY ERR_NETMEM_QUEUE_BUSY", null]);
  });
});

describe("a restart that fails", () => {
  test("#163 the old queue is started again, the error thrown, the parameters cleared", () => {
    splitAndOpen();
    driver(4).faults.starts.push(new Error("no doorbell"));
    expect(() => device.openRxqProvider(4, first)).toThrow("no doorbell");
    expect(driver(4).calls).toEqual(["alloc", "start", "alloc", "stop", "start", "start", "free"]);
    expect([device.queues[4]?.provider, first.outCount, driver(4).memCount]).toEqual([null, 0, 1]);
    driver(4).receive(1000);
    stand.scheduler.runUntilIdle();
    expect([stand.delivered, stand.warnings]).toEqual([1, []]);
  });

  test("a queue that cannot stop is dead, and what was made for it is given back", () => {
    splitAndOpen();
    const queueStop = driver(4).queueStop.bind(driver(4));
    driver(4).queueStop = () => {
      throw new Error("a buffer came home twice");
    };
    expect(() => device.openRxqProvider(4, first)).toThrow("a buffer came home twice");
    driver(4).queueStop = queueStop;
    expect([driver(4).memCount, device.queues[4]?.provider, device.isQueueRunning(4)]).toEqual([1, null, false]);
    expect(stand.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_QUEUE_UNHEALTHY"]);
    device.close();
    expect(driver(4).memCount).toBe(0);
  });

  test("#163 the way back fails too: a warning, the queue is dead until the device is opened again, nothing leaks", () => {
    splitAndOpen();
    driver(4).faults.starts.push(new Error("no doorbell"), new Error("still none"));
    expect(() => device.openRxqProvider(4, first)).toThrow("no doorbell");
    expect(stand.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_QUEUE_UNHEALTHY"]);
    expect([device.queues[4]?.provider, device.isQueueRunning(4), driver(4).memCount]).toEqual([null, false, 0]);
    expect(driver(4).receive(1000)).toBe(false);
    // The others go on, and the dead one can still be configured.
    driver(5).receive(1000);
    device.openRxqProvider(4, second);
    device.closeRxqProvider(4, second);
    stand.scheduler.runUntilIdle();
    device.close();
    expect(stand.host.pools.list().length).toBe(0);
    device.open();
    expect([device.isQueueRunning(4), driver(4).receive(1000)]).toEqual([true, true]);
    stand.scheduler.runUntilIdle();
    expect(stand.delivered).toBe(2);
  });

  test("memory that cannot be made changes nothing", () => {
    splitAndOpen();
    driver(4).faults.memAlloc = new Error("out of memory");
    expect(() => device.openRxqProvider(4, first)).toThrow("out of memory");
    expect([driver(4).calls.at(-1), device.queues[4]?.provider, driver(4).memCount]).toEqual(["alloc", null, 1]);
  });

  test("#164 with the interface down a provider is bound without stop and start, and in force from the next open on", () => {
    device.setHeaderSplit({ tcpDataSplit: "enabled" });
    driver(1).calls.length = 0;
    device.openRxqProvider(1, first);
    expect([driver(1).calls, first.outCount, device.queues[1]?.provider]).toEqual([["alloc", "free"], 0, first]);
    device.open();
    expect(first.outCount).toBeGreaterThan(31);
    device.close();
    device.closeRxqProvider(1, first);
    device.open();
    expect(first.outCount).toBe(0);
  });
});

describe("what excludes what", () => {
  test("#166 channels: a bound queue 2 of 8 refuses 2 and allows 3", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    expect(errorOf(() => device.setChannels(2))).toBe("EINVAL ERR_NETMEM_CHANNELS_IN_USE");
    expect([device.realQueueCount, stand.channels, device.isQueueRunning(7)]).toEqual([8, [], true]);
    device.setChannels(3);
    expect([device.realQueueCount, stand.channels, device.isQueueRunning(3)]).toEqual([3, [3], false]);
    device.setChannels(8);
    expect([device.isQueueRunning(7), driver(7).receive(100)]).toEqual([true, true]);
  });

  test("channels: queues that start again and cannot leave those that run alone", () => {
    device.setChannels(2);
    device.open();
    driver(3).faults.starts.push(new Error("no doorbell"));
    expect(() => device.setChannels(5)).toThrow("no doorbell");
    expect([device.realQueueCount, device.isQueueRunning(1), device.isQueueRunning(2)]).toEqual([2, true, false]);
    expect([driver(2).memCount, driver(3).memCount]).toEqual([0, 0]);
  });

  test("channels: a zero-copy pool and a flow rule hold their queues as well", () => {
    const rule = { id: 7, rule: { queueIdx: 6 }, packets: 0, bytes: 0 };
    const steering = { addFlowRule: () => 7, removeFlowRule: () => {}, flowRules: () => [rule] };
    const steered = makeBindingStand(8, { steering });
    steered.device.addFlowRule(rule.rule);
    expect(errorOf(() => steered.device.setChannels(6))).toBe("EINVAL ERR_NETMEM_CHANNELS_IN_USE");
    steered.device.setChannels(7);
    device.attachXskPool(5, {}, "zeroCopy");
    expect(errorOf(() => device.setChannels(5))).toBe("EINVAL ERR_NETMEM_CHANNELS_IN_USE");
    device.setChannels(6);
  });

  test("#167 a program is EBUSY while any queue has a provider; taking one off is not", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    expect(errorOf(() => device.setProgram(drop))).toBe("EBUSY ERR_NETMEM_PROVIDER_BOUND");
    expect(errorOf(() => device.setProgram(drop, 5))).toBe("EBUSY ERR_NETMEM_PROVIDER_BOUND");
    device.setProgram(null);
    device.closeRxqProvider(2, first);
    device.setProgram(drop);
  });

  test("#167 AF_XDP on another queue: forced zero-copy is EBUSY, otherwise it copies", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    expect(errorOf(() => device.attachXskPool(5, {}, "zeroCopy"))).toBe("EBUSY ERR_NETMEM_PROVIDER_BOUND");
    expect(device.queues[5]?.xsk).toBe(null);
    expect(device.attachXskPool(5, {})).toBe("copy");
    expect(device.queues[5]?.xsk).toMatchObject({ mode: "copy" });
    device.closeRxqProvider(2, first);
    expect(device.attachXskPool(6, {})).toBe("zeroCopy");
    expect(errorOf(() => device.attachXskPool(6, {}))).toBe("EBUSY ERR_NETMEM_XSK_BOUND");
    expect(errorOf(() => device.openRxqProvider(6, first))).toBe("EBUSY ERR_NETMEM_XSK_BOUND");
  });

  test("header split cannot go while a provider needs it, nor come while a program takes single buffers only", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    expect(errorOf(() => device.setHeaderSplit({ tcpDataSplit: "disabled" }))).toBe("EINVAL ERR_NETMEM_PROVIDER_BOUND");
    expect(errorOf(() => device.setHeaderSplit({ tcpDataSplit: "auto" }))).toBe("EINVAL ERR_NETMEM_PROVIDER_BOUND");
    expect(errorOf(() => device.setHeaderSplit({ hdsThreshBytes: 1 }))).toBe("EINVAL ERR_NETMEM_PROVIDER_BOUND");
    device.closeRxqProvider(2, first);
    expect(errorOf(() => device.setHeaderSplit({ hdsThreshBytes: 1025 }))).toBe("EINVAL ERR_NETMEM_HDS_THRESH");
    expect(errorOf(() => device.setHeaderSplit({ tcpDataSplit: "enabled" }, 2))).toBe(
      "EINVAL ERR_NETMEM_INVALID_PARAM",
    );
    const single = { isSingleBuffer: true };
    expect(errorOf(() => device.setProgram(drop, 3, single))).toBe("EBUSY ERR_NETMEM_XDP_SINGLE_BUFFER");
    device.setHeaderSplit({ tcpDataSplit: "disabled" });
    device.setProgram(drop, 3, single);
    expect(errorOf(() => device.setHeaderSplit({ tcpDataSplit: "enabled" }))).toBe(
      "EINVAL ERR_NETMEM_XDP_SINGLE_BUFFER",
    );
    device.setProgram(drop);
    device.setHeaderSplit({ tcpDataSplit: "enabled" });
  });

  test("header split that one queue cannot start with leaves all as they were", () => {
    device.open();
    driver(5).faults.starts.push(new Error("no doorbell"));
    expect(() => device.setHeaderSplit({ tcpDataSplit: "enabled" })).toThrow("no doorbell");
    expect(device.queues.map(({ headerSplit }) => headerSplit.tcpDataSplit)).toEqual(
      Array.from({ length: 8 }, () => "auto"),
    );
    expect(device.queues.every(({ queueIdx }) => device.isQueueRunning(queueIdx))).toBe(true);
  });
});

describe("closing a provider", () => {
  test("one that the queue does not have is a warning and nothing else", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    device.closeRxqProvider(2, second);
    device.closeRxqProvider(3, first);
    device.closeRxqProvider(99, first);
    expect(stand.warnings.map(({ code }) => code)).toEqual(
      Array.from({ length: 3 }, () => "WARN_NETMEM_PROVIDER_MISMATCH"),
    );
    expect(device.queues[2]?.provider).toBe(first);
  });

  test("after unregister the provider has been told, and closing is silent", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    device.openRxqProvider(6, first);
    device.unregister();
    expect([first.uninstalled, first.outCount]).toEqual([[2, 6], 0]);
    device.closeRxqProvider(2, first);
    expect(stand.warnings).toEqual([]);
  });

  test("a restart that fails is a warning, and the queue runs on with the memory it has", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    driver(2).faults.memAlloc = new Error("out of memory");
    device.closeRxqProvider(2, first);
    expect(stand.warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_QUEUE_RECONFIG"]);
    expect([device.queues[2]?.provider, device.isQueueRunning(2), first.outCount > 0]).toEqual([null, true, true]);
  });
});

describe("swapping a provider", () => {
  test("under traffic no packet that was received is lost, and every buffer goes home to its own provider", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    let taken = 0;
    const receive = (count: number): void => {
      for (let n = 0; n < count; n++) taken += Number(driver(2).receive(60 + n * 7));
    };
    receive(20);
    device.swapRxqProvider(2, first, second);
    expect([stand.delivered, first.outCount, first.destroyCount]).toEqual([20, 0, 1]);
    receive(20);
    device.swapRxqProvider(2, second, first);
    receive(5);
    stand.scheduler.runUntilIdle();
    expect([taken, stand.delivered, second.outCount, stand.warnings]).toEqual([45, 45, 0, []]);
  });

  test("buffers that users hold keep the old provider's pool until they come home", () => {
    splitAndOpen();
    device.openRxqProvider(2, first);
    const held: number[] = [];
    device.setReceiver((skbs, count) => held.push(...skbs.subarray(0, count)));
    for (let n = 0; n < 3; n++) driver(2).receive(1000);
    device.swapRxqProvider(2, first, second);
    expect([held.length, first.outCount, first.destroyCount]).toEqual([3, 3, 0]);
    for (const skb of held) consumeSkb(stand.skbs, asSkbRef(skb));
    stand.clock.advance(2000);
    expect([first.outCount, first.destroyCount]).toEqual([0, 1]);
  });

  test("one that fails leaves the queue with the provider that it had", () => {
    splitAndOpen();
    expect(errorOf(() => device.swapRxqProvider(2, first, second))).toBe("ENOENT ERR_NETMEM_PROVIDER_NOT_BOUND");
    device.openRxqProvider(2, first);
    driver(2).faults.starts.push(new Error("no doorbell"));
    expect(() => device.swapRxqProvider(2, first, second)).toThrow("no doorbell");
    expect([device.queues[2]?.provider, second.outCount, driver(2).memCount]).toEqual([first, 0, 1]);
    driver(2).receive(1000);
    stand.scheduler.runUntilIdle();
    expect(stand.delivered).toBe(1);
  });

  test("a program that throws while the queue is emptied is reported, and the rest is handed on", () => {
    const perQueue = makeBindingStand(1, { queueRules: "perQueue" });
    let seen = 0;
    perQueue.device.setProgram(() => {
      if (++seen === 2) throw new Error("bad program");
      return XdpVerdict.Pass;
    });
    perQueue.device.setHeaderSplit({ tcpDataSplit: "enabled" });
    perQueue.device.open();
    for (let n = 0; n < 4; n++) perQueue.drivers[0]?.receive(100);
    perQueue.device.openRxqProvider(0, perQueue.providers[0]);
    expect([perQueue.delivered, perQueue.warnings.map(({ code }) => code)]).toEqual([3, ["WARN_NETMEM_POLL_FAILED"]]);
  });
});

describe("perQueue rules", () => {
  beforeEach(() => {
    stand = makeBindingStand(4, { queueRules: "perQueue" });
    ({ device } = stand);
    [first, second] = stand.providers;
  });

  test("each queue by itself: header split, programs, AF_XDP and a provider side by side", () => {
    device.setHeaderSplit({ tcpDataSplit: "enabled" }, 1);
    device.setProgram(drop);
    device.open();
    expect(errorOf(() => device.openRxqProvider(0, first))).toBe("EINVAL ERR_NETMEM_HEADER_SPLIT_OFF");
    device.openRxqProvider(1, first);
    expect(device.attachXskPool(2, {}, "zeroCopy")).toBe("zeroCopy");
    expect(errorOf(() => device.attachXskPool(1, {}, "zeroCopy"))).toBe("EBUSY ERR_NETMEM_PROVIDER_BOUND");
    device.setProgram(drop, 1);
    expect(errorOf(() => device.setProgram(drop, 1, { isSingleBuffer: true }))).toBe(
      "EBUSY ERR_NETMEM_XDP_SINGLE_BUFFER",
    );
    expect(errorOf(() => device.setHeaderSplit({ tcpDataSplit: "auto" }, 1))).toBe("EINVAL ERR_NETMEM_PROVIDER_BOUND");
    device.setHeaderSplit({ tcpDataSplit: "auto" }, 3);
  });

  test("readable memory needs no header split", () => {
    Object.defineProperty(first, "isReadable", { value: true });
    device.open();
    device.openRxqProvider(0, first);
    expect(errorOf(() => device.openRxqProvider(1, second))).toBe("EINVAL ERR_NETMEM_HEADER_SPLIT_OFF");
  });

  test("a program sees the headers of a packet; the payload is refused with a coded error", () => {
    device.setHeaderSplit({ tcpDataSplit: "enabled" });
    device.open();
    device.openRxqProvider(0, first);
    const codes: string[] = [];
    device.setProgram((xdp) => {
      codes.push(errorOf(() => stand.host.offsetOf(firstFrag(xdp))));
      return XdpVerdict.Drop;
    });
    driver(0).receive(1000);
    stand.scheduler.runUntilIdle();
    expect(codes).toEqual(["EFAULT ERR_NETMEM_UNREADABLE"]);
  });
});

/* What can go wrong with a real interface: one coded error or count each, and the process goes on. */
import { openSystem, RouteSocket } from "@netmem/linux";
import { createTestnet } from "@netmem/linux/testnet";
import { XdpVerdict } from "@netmem/netdev";
import { asSkbRef, consumeSkb } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { openAfXdp, RxLoop } from "../src/index.ts";
import { makeHost, pollAll, type Stand } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";
import { errorOf, useStands } from "./stands.ts";

const { cleanups, stand } = useStands();

test("a queue that somebody has: an error after a wait, and the pages are home", () => {
  const made = stand();
  const { namespace, link } = made.net.near;
  made.device.open();
  const free = made.host.pages.freePageCount();
  const other = made.afXdp.openPort({ ifname: link.name, namespace, program: "none" });
  const startMs = performance.now();
  expect(errorOf(() => other.queue(0).open())).toMatchObject({ code: "ERR_NETMEM_XDP_QUEUE_BUSY", errno: "EBUSY" });
  expect(performance.now() - startMs).toBeGreaterThan(250);
  other.close();
  made.afXdp.settle();
  // The windows of the socket that failed are held until the last pin is gone; nothing else is.
  expect(free - made.host.pages.freePageCount()).toBeLessThan(64);
  expect(errorOf(() => made.port.queue(0).open())).toMatchObject({ code: "ERR_NETMEM_XDP_QUEUE_OPEN" });
});

test("one host may open two ends; both have the UMEM, and a frame goes from one to the other in place", () => {
  const made = stand({ testnet: { queues: 2 } });
  const { namespace, link } = made.net.far;
  const far = made.afXdp.openPort({ ifname: link.name, namespace, program: "none" });
  const socket = far.queue(1).open();
  made.device.open();
  let seen = "";
  made.device.setProgram((xdp) => {
    seen = String.fromCharCode(...made.host.u8.subarray(xdp.data + 14, xdp.data + 19));
    return XdpVerdict.Drop;
  });
  const page = made.host.pages.allocPages(0);
  if (page === 0) throw new Error("no page");
  const at = made.host.offsetOf(page) + 100;
  made.host.u8.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, 104, 101, 108, 108, 111], at);
  expect(socket.rings.transmitOne(page, at, 60)).toBe(true);
  expect(socket.rings.submitTx()).toBe(true);
  expect(made.afXdp.wakeup.kickTx(socket.fd)).toBe(0);
  pollAll(made.scheduler, made.device);
  expect(seen).toBe("hello");
  while (socket.rings.txPostedCount > 0) socket.rings.complete(8);
});

test("an interface that goes away while the loop sleeps in the kernel is noticed at its next look", () => {
  const made = stand();
  const { device, port, net } = made;
  device.open();
  const loop = new RxLoop(made.afXdp, made.scheduler, made.drivers);
  loop.pollOnce(5);
  expect(port.queue(0).fault).toBeNull();
  const route = net.near.namespace.run(() => new RouteSocket(made.system));
  route.remove(net.near.link.ifindex);
  route.close();
  loop.pollOnce(5);
  expect(port.queue(0).fault?.code).toBe("ERR_NETMEM_XDP_INTERFACE_GONE");
});

test("an interface that goes away under traffic: told once, buffers come home, the process goes on", () => {
  const faults: string[] = [];
  const made = stand({ port: { onFault: ({ code }, queueIdx) => faults.push(`${code} ${queueIdx}`) } });
  const { device, scheduler, net, port, drivers, clock, afXdp } = made;
  device.setProgram(() => XdpVerdict.Tx);
  device.open();
  const far = new PacketSocket(made.system, net.far);
  cleanups.push(() => far.close());
  for (let n = 0; n < 20; n++) far.send(new Uint8Array(60).fill(n));
  pollAll(scheduler, device);
  expect(device.getStats()[0]?.rxPackets).toBe(20);
  const route = net.near.namespace.run(() => new RouteSocket(made.system));
  route.remove(net.near.link.ifindex);
  route.close();
  for (let n = 0; n < 5000; n++) pollAll(scheduler, device);
  expect(faults).toEqual(["ERR_NETMEM_XDP_INTERFACE_GONE 0"]);
  expect(port.queue(0).fault?.code).toBe("ERR_NETMEM_XDP_INTERFACE_GONE");
  device.close();
  expect(afXdp.settle(2000)).toBe(true);
  clock.advance(5000);
  expect(drivers[0]?.inflight()).toBe(0);
});

test("a fill ring that starves: counted, warned of once, and it recovers", () => {
  const warnings: string[] = [];
  const made = stand();
  const { device, scheduler, host, skbs } = made;
  host.warn = (code): void => void warnings.push(code);
  device.open();
  const kept: number[] = [];
  device.setReceiver((received, count) => kept.push(...received.subarray(0, count)));
  const hoard: number[] = [];
  for (let page = host.pages.allocPages(0); page !== 0; page = host.pages.allocPages(0)) hoard.push(page);
  const far = new PacketSocket(made.system, made.net.far);
  cleanups.push(() => far.close());
  for (let n = 0; n < 600; n++) {
    far.send(new Uint8Array(60));
    if (n % 16 === 0) pollAll(scheduler, device);
  }
  pollAll(scheduler, device);
  const { rxFillRingEmptyDescs } = made.port.queue(0).statistics();
  expect(rxFillRingEmptyDescs).toBeGreaterThan(0);
  expect(device.getStats()[0]?.allocFailed).toBeGreaterThan(0);
  expect(warnings).toEqual(["WARN_NETMEM_XDP_FILL_STARVED"]);
  expect(kept.length).toBeGreaterThan(100);
  for (const page of hoard) host.pages.freePage(page as never);
  consumeAll(skbs, kept);
  pollAll(scheduler, device);
  const before = device.getStats()[0]!.rxPackets;
  for (let n = 0; n < 50; n++) far.send(new Uint8Array(60));
  pollAll(scheduler, device);
  expect(device.getStats()[0]!.rxPackets - before).toBe(50);
  consumeAll(skbs, kept);
});

test("completions that nobody takes: the ring fills up, nothing is lost, and it goes on", () => {
  const made = stand({ port: { program: "none", rings: { rx: 64, tx: 64, fill: 64, completion: 64 } } });
  const { host, afXdp } = made;
  const { rings, fd } = made.port.queue(0).open();
  const far = new PacketSocket(made.system, made.net.far);
  cleanups.push(() => far.close());
  let posted = 0;
  for (let n = 0; n < 400; n++) {
    const page = host.pages.allocPages(0);
    if (page === 0) throw new Error("no page");
    host.u8.fill(n, host.offsetOf(page), host.offsetOf(page) + 60);
    if (rings.transmitOne(page, host.offsetOf(page), 60)) posted++;
    else host.pages.freePage(page);
    if (rings.submitTx()) afXdp.wakeup.kickTx(fd);
  }
  expect(posted).toBe(128);
  expect(rings.census().txPosted).toEqual({ total: 128, txRing: 64, kernel: 0, completionRing: 64 });
  expect(rings.complete(1000)).toBe(64);
  afXdp.wakeup.kickTx(fd);
  expect(rings.complete(1000)).toBe(64);
  expect(far.takeAll().length).toBe(128);
});

test("windows of a queue that closed stay out of use while the kernel holds the port's memory", () => {
  const made = stand({ testnet: { queues: 2 } });
  const { host, port, afXdp } = made;
  const free = (): number => host.pages.freePageCount();
  const atStart = free();
  port.queue(0).open();
  const withOne = free();
  port.queue(1).open();
  port.queue(1).close();
  afXdp.settle();
  expect(atStart - withOne).toBeGreaterThan(4);
  expect(withOne - free()).toBe(atStart - withOne);
  port.queue(0).close();
  afXdp.settle();
  expect(free()).toBe(atStart);
});

test("what the kernel has at close is quarantined until the queue is seen released", () => {
  const made = stand();
  const { device, host, port, drivers, clock, afXdp } = made;
  const far = new PacketSocket(made.system, made.net.far);
  cleanups.push(() => far.close());
  device.open();
  // The kernel is made to say that the queue is still bound.
  const queues = port.netdev.queues.bind(port.netdev);
  const bound = queues(port.ifindex);
  port.netdev.queues = () => bound;
  device.close();
  clock.advance(60_000);
  expect([port.queue(0).quarantinedCount, drivers[0]?.inflight()]).toEqual([256, 256]);
  expect(afXdp.umem.census()).toMatchObject({ fillPosted: 256, txPosted: 0 });
  expect(errorOf(() => afXdp.close()).code).toBe("ERR_NETMEM_XDP_NOT_SETTLED");
  port.netdev.queues = queues;
  expect(afXdp.settle()).toBe(true);
  clock.advance(5000);
  expect([port.queue(0).quarantinedCount, drivers[0]?.inflight()]).toEqual([0, 0]);
  expect(host.pages.freePageCount()).toBeGreaterThan(0);
});

test("what a queue had comes home also when the queue was opened again at once", () => {
  const made = stand();
  const { device, port, drivers, clock, afXdp } = made;
  const [queue, driver] = [port.queue(0), drivers[0]!];
  device.open();
  // The kernel is made to say that the queue is bound, as it does until it let go, and again from the next bind on.
  const queues = port.netdev.queues.bind(port.netdev);
  const bound = queues(port.ifindex);
  port.netdev.queues = () => bound;
  device.close();
  expect([afXdp.settle(0), queue.quarantinedCount]).toEqual([false, 256]);
  device.open();
  expect([afXdp.settle(), queue.quarantinedCount, driver.inflight()]).toEqual([true, 0, 256]);
  device.close();
  device.open();
  clock.advance(20);
  expect(queue.quarantinedCount).toBe(0);
  port.netdev.queues = queues;
});

test("a port that is closed twice, and one closed while its queue is open", () => {
  const made = stand();
  made.device.open();
  made.port.close();
  made.port.close();
  made.device.close();
  expect(made.afXdp.settle()).toBe(true);
  made.clock.advance(5000);
  expect(made.drivers[0]?.inflight()).toBe(0);
  const { namespace, link } = made.net.near;
  const again = made.afXdp.openPort({ ifname: link.name, namespace });
  again.queue(0).open();
  again.close();
});

test("a host that was closed can have AF_XDP again", () => {
  const system = openSystem();
  const net = createTestnet(system);
  cleanups.push(() => net.close());
  const host = makeHost(new VirtualClock());
  const free = host.pages.freePageCount();
  for (let round = 0; round < 3; round++) {
    const afXdp = openAfXdp(host, { system });
    const port = afXdp.openPort({ ifname: "near", namespace: net.near.namespace });
    port.queue(0).open();
    afXdp.close();
    afXdp.close();
    expect(host.pages.freePageCount()).toBe(free);
  }
});

function consumeAll(skbs: Stand["skbs"], list: number[]): void {
  for (const skb of list.splice(0)) consumeSkb(skbs, asSkbRef(skb));
}

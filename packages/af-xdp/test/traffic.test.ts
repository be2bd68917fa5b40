/* What real packets do: filters, joined programs, forwarding, frames of any memory, and the ways to wait. */
import { asNetmemRef, asPageRef, type Host, idxOf, type PageRef, type ReadableRef } from "@netmem/core";
import {
  AF_INET,
  attachXdp,
  BpfMapType,
  compileXdpFilter,
  createBpfMap,
  loadXdpProgram,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  type System,
} from "@netmem/linux";
import { createTestnet, type Testnet, type TestnetEnd } from "@netmem/linux/testnet";
import { XdpVerdict } from "@netmem/netdev";
import { createPagePool } from "@netmem/page-pool";
import { convertBuffToFrame, XdpBuff } from "@netmem/skb";
import { buildPacket, fillPattern, ipv4Address, macAddress } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { makeDevice, pollAll, type Stand, type StandParams } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";
import { useStands } from "./stands.ts";

const { cleanups, stand: makeStand } = useStands();

function stand(params: StandParams = {}): Stand & { readonly far: PacketSocket } {
  const made = makeStand(params);
  return { ...made, far: packetSocket(made.system, made.net.far) };
}

function packetSocket(system: System, end: TestnetEnd): PacketSocket {
  const socket = new PacketSocket(system, end);
  cleanups.push(() => socket.close());
  return socket;
}

function frame(lenBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lenBytes);
  fillPattern(bytes, 0, lenBytes, seed);
  bytes.set([0x88, 0xb5], 12);
  return bytes;
}

function udp(dstPort: number): Uint8Array {
  const bytes = new Uint8Array(200);
  const len = buildPacket(bytes, 0, {
    ethernet: { srcMac: macAddress("02:00:00:00:00:02"), dstMac: macAddress("02:00:00:00:00:01") },
    network: { kind: "ipv4", src: ipv4Address("10.0.0.2"), dst: ipv4Address("10.0.0.1") },
    transport: { kind: "udp", srcPort: 9, dstPort },
    payloadBytes: 60,
  });
  return bytes.slice(0, len);
}

const testnet = { near: { ips: ["10.0.0.1/24"] }, far: { ips: ["10.0.0.2/24"] } };

test("a filter takes what its rules say, and the kernel's own sockets get the rest", () => {
  const rules = [{ protocol: "udp", dstPort: 53 }] as const;
  const { device, scheduler, far, net, system, port } = stand({ testnet, port: { program: { rules } } });
  const listener = net.near.namespace.run(() => system.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  cleanups.push(() => system.close(listener));
  system.check("bind", system.bind(listener, Uint8Array.of(AF_INET, 0, 0, 54, 10, 0, 0, 1, ...new Uint8Array(8))));
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  for (let n = 0; n < 10; n++) {
    far.send(udp(53));
    far.send(udp(54));
  }
  pollAll(scheduler, device);
  expect(device.getStats()[0]).toMatchObject({ rxPackets: 10, xdpDrop: 10 });
  let received = 0;
  while (system.recv(listener, new Uint8Array(100), MSG_DONTWAIT) === 60) received++;
  expect(received).toBe(10);
  expect(port.report()).toMatchObject({ xdpMode: "native", queueCount: 1, frags: false });
});

test("a queue that is disabled leaves its packets to the kernel, until it is enabled again", () => {
  const { far, net, system, port } = stand({ testnet });
  const listener = net.near.namespace.run(() => system.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  cleanups.push(() => system.close(listener));
  system.check("bind", system.bind(listener, Uint8Array.of(AF_INET, 0, 0, 54, 10, 0, 0, 1, ...new Uint8Array(8))));
  const queue = port.queue(0);
  queue.open();
  const countKernel = (): number => {
    far.send(udp(54));
    let received = 0;
    while (system.recv(listener, new Uint8Array(100), MSG_DONTWAIT) === 60) received++;
    return received;
  };
  const counts = [countKernel()];
  queue.enable();
  counts.push(countKernel());
  queue.disable();
  counts.push(countKernel());
  expect(counts).toEqual([1, 0, 1]);
});

test("somebody else's program is joined by its map, and stays when the port goes", () => {
  const made = stand({ port: { program: "none" } });
  const { system, net, far, afXdp, scheduler } = made;
  const { namespace, link } = net.near;
  const map = createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: 1 });
  const program = loadXdpProgram(system, { insns: compileXdpFilter(map.fd, []) });
  const attached = namespace.run(() => attachXdp(system, { program, ifindex: link.ifindex }));
  cleanups.push(() => attached.detach());
  const port = afXdp.openPort({ ifname: link.name, namespace, program: { map } });
  const { device } = makeDevice(made, port, "joined");
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  far.send(frame(60, 1));
  pollAll(scheduler, device);
  expect([device.getStats()[0]?.rxPackets, port.report().xdpMode]).toEqual([1, "joined"]);
  device.close();
  port.close();
  far.send(frame(60, 2));
  expect(() => namespace.run(() => attachXdp(system, { program, ifindex: link.ifindex }))).toThrow(
    /has an XDP program/,
  );
  map.close();
});

describe("forwarding between two interfaces", () => {
  test.for([60, 1000, 3520, 3521, 9000])("frames of %i bytes arrive whole, and their pages go home", (size) => {
    const made = stand({ testnet: { mtuBytes: 9000 } });
    const other: Testnet = createTestnet(made.system, { mtuBytes: 9000, near: { name: "near2" } });
    cleanups.push(() => other.close());
    const otherPort = made.afXdp.openPort({ ifname: "near2", namespace: other.near.namespace, program: "none" });
    const farFar = packetSocket(made.system, other.far);
    const { device: out, drivers } = makeDevice(made, otherPort, "near2");
    const { device, scheduler, far } = made;
    device.setProgram((xdp) => {
      xdp.redirectIfindex = out.ifindex;
      return XdpVerdict.Redirect;
    });
    device.open();
    out.open();
    const held = made.drivers[0]!.inflight();
    const frames = Array.from({ length: 100 }, (_, n) => frame(size, n));
    const got: Uint8Array[] = [];
    for (const one of frames) {
      far.send(one);
      pollAll(scheduler, device, out);
      got.push(...farFar.takeAll());
    }
    expect(got).toEqual(frames);
    for (let n = 0; n < 100 && drivers[0]!.txPendingCount > 0; n++) pollAll(scheduler, out);
    expect([drivers[0]!.txPendingCount, out.getStats()[0]?.txPackets]).toEqual([0, 100]);
    // A few pages more or less lie in the pool's cache; a frame kept would be a hundred or more.
    expect(Math.abs(made.drivers[0]!.inflight() - held)).toBeLessThan(100);
    out.close();
  });
});

describe("frames of other memory", () => {
  const MTU = 12_000;

  /** A frame of a head and pieces; returns what `xdpXmit` did. */
  function sendFrame(made: Stand, head: ReadableRef, headBytes: number, pieces: readonly Piece[]): number {
    const { host, device } = made;
    const xdp = new XdpBuff(host, device.queues[0]!.info, 4096);
    xdp.prepare(head, host.offsetOf(head), 256, headBytes);
    for (const { ref, offset, len } of pieces) expect(xdp.addFrag(asNetmemRef(ref), offset, len, 4096)).toBe(true);
    const converted = convertBuffToFrame(xdp);
    expect(converted).not.toBe(0);
    const taken = device.xdpXmit(Int32Array.of(converted), 1, 0);
    if (taken === 0) xdp.returnBuff();
    return taken;
  }

  interface Piece {
    readonly ref: number;
    readonly offset: number;
    readonly len: number;
  }

  function page(host: Host, order = 0): PageRef {
    const ref = host.pages.allocPages(order);
    if (ref === 0) throw new Error("no page");
    return ref;
  }

  test("fragments of a pool, plain pages, and a block of pages that a piece crosses", () => {
    const made = stand({ testnet: { mtuBytes: MTU } });
    const { host, device, far, drivers, scheduler, clock } = made;
    const pool = createPagePool(host, { poolSize: 64 });
    device.open();
    const free = host.pages.freePageCount();
    const expected = frame(60 + 700 + 4000 + 5000, 3);
    const head = page(host);
    host.u8.set(expected.subarray(0, 60), host.offsetOf(head) + 256);
    const frag = pool.allocFrag(704);
    if (frag === 0) throw new Error("no fragment");
    const fragOffset = pool.lastOffset;
    host.u8.set(expected.subarray(60, 760), host.offsetOf(asPageRef(frag)) + fragOffset);
    const plain = page(host);
    host.u8.set(expected.subarray(760, 4760), host.offsetOf(plain) + 96);
    const block = page(host, 1);
    host.u8.set(expected.subarray(4760), host.offsetOf(block) + 1000);
    const pieces = [
      { ref: frag, offset: fragOffset, len: 700 },
      { ref: plain, offset: 96, len: 4000 },
      { ref: block, offset: 1000, len: 5000 },
    ];
    expect(sendFrame(made, head, 60, pieces)).toBe(1);
    expect(far.takeAll()).toEqual([expected]);
    for (let n = 0; n < 100 && drivers[0]!.txPendingCount > 0; n++) pollAll(scheduler, device);
    pool.destroy();
    clock.advance(5000);
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("a head that lies across two pages, without fragments", () => {
    const made = stand({ testnet: { mtuBytes: MTU } });
    const { host, device, far, drivers, scheduler } = made;
    device.open();
    const free = host.pages.freePageCount();
    const expected = frame(5000, 9);
    const head = page(host, 1);
    const xdp = new XdpBuff(host, device.queues[0]!.info, 8192);
    xdp.prepare(head, host.offsetOf(head), 256, expected.length);
    host.u8.set(expected, xdp.data);
    const converted = convertBuffToFrame(xdp);
    expect(device.xdpXmit(Int32Array.of(converted), 1, 0)).toBe(1);
    expect(far.takeAll()).toEqual([expected]);
    for (let n = 0; n < 100 && drivers[0]!.txPendingCount > 0; n++) pollAll(scheduler, device);
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("memory that nobody can read is not taken, and stays with the caller", () => {
    const made = stand({ testnet: { mtuBytes: MTU } });
    const { host, device, far } = made;
    const area = host.areas.add({ name: "device memory", count: 4, pageShift: 12 });
    device.open();
    const free = host.pages.freePageCount();
    const head = page(host);
    const iov = host.areas.refAt(area, 0);
    const xdp = new XdpBuff(host, device.queues[0]!.info, 4096);
    xdp.prepare(head, host.offsetOf(head), 256, 60);
    expect(xdp.addFrag(iov, 0, 100, 4096)).toBe(true);
    const converted = convertBuffToFrame(xdp);
    expect(device.xdpXmit(Int32Array.of(converted), 1, 0)).toBe(0);
    expect([far.takeAll(), made.port.queue(0).socket?.rings.stats().txRefused]).toEqual([[], 0]);
    host.pages.freePage(head);
    expect([host.pages.freePageCount(), idxOf(head) > 0]).toEqual([free, true]);
  });
});

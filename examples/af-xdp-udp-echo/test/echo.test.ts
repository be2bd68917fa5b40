/* The same program on the NIC model and on a cable of the kernel. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { openStand, OUR_ADDRESS, parseOptions, run } from "@netmem-examples/af-xdp-stand";
import { runExample, whyNoAfXdp } from "@netmem-examples/af-xdp-stand/run-example";
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { createHost } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { buildPacket, ipv4Address, macAddress, type PacketSpec, VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { EchoResponder } from "../echo.ts";

const whyNot = whyNoAfXdp();
const ours = { mac: macAddress("02:00:00:00:00:01"), ip: ipv4Address("10.0.0.1") };
const theirs = { mac: macAddress("02:00:00:00:00:02"), ip: ipv4Address("10.0.0.2") };
const there = { src: theirs.ip, dst: ours.ip };
const back = { src: ours.ip, dst: theirs.ip };

const build = (spec: PacketSpec): Uint8Array => {
  const bytes = new Uint8Array(9000);
  return bytes.slice(0, buildPacket(bytes, 0, spec));
};
const fromThem = { srcMac: theirs.mac, dstMac: ours.mac };
const fromUs = { srcMac: ours.mac, dstMac: theirs.mac };

/** Sends frames through the NIC model and the page-pool driver; returns what came back and what was counted. */
function exchange(frames: readonly Uint8Array[]): { sent: Uint8Array[]; echo: EchoResponder } {
  const host = createHost({ arenaBytes: 16 * 2 ** 20, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  const nic = new SimNic(host, { queueCount: 1, rxDescCount: 64 });
  const scheduler = new NapiScheduler(host);
  const parts = { host, scheduler, skbs: new SkbSlab(host), registry: new DeviceRegistry() };
  const device = new NetDevice({ ...parts, name: "sim0" });
  device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
  const echo = new EchoResponder(host, ours);
  device.setProgram((xdp) => echo.answer(xdp));
  const sent: Uint8Array[] = [];
  nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) sent.push(bytes.slice(offsets[n], offsets[n]! + lengths[n]!));
  });
  device.open();
  for (const frame of frames) {
    nic.receive(frame, 0, frame.length);
    scheduler.runUntilIdle();
  }
  device.close();
  return { sent, echo };
}

describe("on the NIC model", () => {
  test("an ARP request for the address becomes its reply", () => {
    const request = {
      operation: 1,
      senderMac: theirs.mac,
      senderIp: theirs.ip,
      targetMac: new Uint8Array(6),
      targetIp: ours.ip,
    };
    const reply = { operation: 2, senderMac: ours.mac, senderIp: ours.ip, targetMac: theirs.mac, targetIp: theirs.ip };
    const broadcast = { srcMac: theirs.mac, dstMac: new Uint8Array(6).fill(255) };
    const { sent } = exchange([build({ ethernet: broadcast, network: { kind: "arp", ...request } })]);
    expect(sent).toEqual([build({ ethernet: fromUs, network: { kind: "arp", ...reply } })]);
  });

  test.for([0, 1, 56, 1473, 8000])("a ping with %i bytes comes back with its checksum right", (payloadBytes) => {
    const ping = (isReply: boolean): Uint8Array =>
      build({
        ethernet: isReply ? fromUs : fromThem,
        network: { kind: "ipv4", ...(isReply ? back : there) },
        transport: { kind: "icmp", type: isReply ? 0 : 8, rest: 0x1234_0001 },
        payloadBytes,
      });
    expect(exchange([ping(false)]).sent).toEqual([ping(true)]);
  });

  test("every checksum of a ping, also those that wrap", () => {
    const ping = (isReply: boolean, rest: number): Uint8Array =>
      build({
        ethernet: isReply ? fromUs : fromThem,
        network: { kind: "ipv4", ...(isReply ? back : there) },
        transport: { kind: "icmp", type: isReply ? 0 : 8, rest },
      });
    const rests = Array.from({ length: 2048 }, (_, n) => n * 32 + (n & 31));
    expect(exchange(rests.map((rest) => ping(false, rest))).sent).toEqual(rests.map((rest) => ping(true, rest)));
  });

  test("a datagram comes back to the port it came from, behind IP options too, without a checksum", () => {
    const options = new Uint8Array(8).fill(1);
    const udp = (isReply: boolean, extra: object): Uint8Array => {
      const [srcPort, dstPort] = isReply ? [7, 4000] : [4000, 7];
      const network = { kind: "ipv4" as const, ...(isReply ? back : there), ...extra };
      const ethernet = isReply ? fromUs : fromThem;
      return build({ ethernet, network, transport: { kind: "udp", srcPort, dstPort }, payloadBytes: 333 });
    };
    const { sent } = exchange([udp(false, {}), udp(false, { options })]);
    const expected = [udp(true, {}), udp(true, { options })];
    expected[0]?.fill(0, 40, 42);
    expected[1]?.fill(0, 48, 50);
    expect(sent).toEqual(expected);
  });

  test("what is for somebody else, or no question, is dropped", () => {
    const other = ipv4Address("10.0.0.9");
    const udp = { kind: "udp", srcPort: 1, dstPort: 2 } as const;
    const frames = [
      build({ ethernet: fromThem, network: { kind: "ipv4", src: theirs.ip, dst: other }, transport: udp }),
      build({ ethernet: fromThem, network: { kind: "ipv4", ...there }, transport: { kind: "icmp", type: 0 } }),
      build({
        ethernet: fromThem,
        network: { kind: "ipv4", ...there },
        transport: { kind: "tcp", srcPort: 1, dstPort: 2 },
      }),
      build({
        ethernet: fromThem,
        network: { kind: "ipv4", ...there, moreFragments: true },
        transport: { kind: "raw", protocol: 17 },
      }),
      Uint8Array.from([...fromThem.dstMac, ...fromThem.srcMac, 8, 0, 0x4f, ...new Uint8Array(45)]),
    ];
    const { sent, echo } = exchange(frames);
    expect(sent).toEqual([]);
    expect(echo.counts).toEqual({ arp: 0, icmp: 0, udp: 0, other: frames.length });
  });
});

/** Starts `ping` in the namespace that the thread is in now. */
function ping(address: string): ChildProcessByStdio<null, Readable, null> {
  return spawn("ping", ["-n", "-c", "6", "-i", "0.05", "-s", "1400", address], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

describe("on a cable of the kernel", () => {
  test("the kernel's UDP socket gets every byte back", (context) => {
    if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
    const { code, lines } = runExample(import.meta.url, ["--setup-veth", "--seconds", "2"]);
    expect(lines.at(-1)).toMatch(/^the kernel's UDP socket sent (\d+), got \1 back, 0 wrong$/);
    expect(code).toBe(0);
  });

  test("ping gets its answers", async (context) => {
    if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
    if (spawnSync("ping", ["-V"]).error !== undefined) context.skip("ping is not installed");
    const options = parseOptions(["--seconds", "20", "--wait", "events"]);
    if (options === null) throw new Error("no options");
    const stand = openStand(options);
    const { device, host, net, port } = stand;
    if (net === null) throw new Error("no cable");
    const echo = new EchoResponder(host, { mac: port.macAddress, ip: ipv4Address(OUR_ADDRESS) });
    device.setProgram((xdp) => echo.answer(xdp));
    device.open();
    const child = net.far.namespace.run(() => ping(OUR_ADDRESS));
    const said = text(child.stdout);
    // One ARP request and six pings.
    await run(stand, { ...options, packets: 7 });
    expect(await said).toMatch(/6 packets transmitted, 6 received/);
    expect(echo.counts).toMatchObject({ arp: 1, icmp: 6 });
    expect(await stand.close()).toBe(true);
  });
});

import { createHost, type Host } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, SkbSlab, SkbView } from "@netmem/skb";
import { buildPacket, findPatternMismatch, Prng, VirtualClock } from "@netmem/testing";
import { beforeEach, expect, test } from "vitest";
import { DeviceMemory } from "./device-memory.ts";
import { SplitDriver } from "./split-driver.ts";

const RING = 64;
const HEADER_BYTES = 54;

let host: Host;
let nic: SimNic;
let device: NetDevice;
let scheduler: NapiScheduler;
let skbs: SkbSlab;
let clock: VirtualClock;
let memories: readonly [DeviceMemory, DeviceMemory];
/** Packets whose payload was right, by the name of the memory that it was in; "pages" for ordinary ones. */
let right: Record<string, number>;

beforeEach(() => {
  clock = new VirtualClock();
  host = createHost({ arenaBytes: 16 * 2 ** 20, maxNetmems: 5120, clock, pageAllocator: createPageAllocator });
  nic = new SimNic(host, { queueCount: 2, rxDescCount: RING, dataDescCount: RING });
  skbs = new SkbSlab(host, { skbCount: 1024 });
  scheduler = new NapiScheduler(host);
  const setQueueCount = (count: number): void => nic.rss.setQueueCount(count);
  device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "nic0", setQueueCount });
  for (const n of [0, 1]) device.addQueue({ driver: (queue) => new SplitDriver(host, queue, nic.queue(n)) });
  memories = [new DeviceMemory(host, nic, "one", 300), new DeviceMemory(host, nic, "two", 300)];
  right = { pages: 0, one: 0, two: 0 };
  device.setReceiver((received, count) => {
    for (let n = 0; n < count; n++) verify(received[n]!);
  });
  // Every flow to queue 0.
  device.setChannels(1);
});

/** Looks at every payload byte, wherever it is; the seed of its pattern is its length. */
function verify(skb: number): void {
  const view = new SkbView(skbs).of(asSkbRef(skb));
  const payloadBytes = view.len - HEADER_BYTES;
  const payload = new Uint8Array(payloadBytes);
  let where = "pages";
  let done = 0;
  for (let n = 0; n < view.nrFrags; n++) {
    const ref = view.fragRef(n);
    const memory = memories.find((one) => one.owns(ref));
    if (memory !== undefined) where = memory.name;
    const from = memory === undefined ? view.fragData(n) : memory.offsetOf(ref) + view.fragOffset(n);
    payload.set((memory?.bytes ?? host.u8).subarray(from, from + view.fragLen(n)), done);
    done += view.fragLen(n);
  }
  expect([done, findPatternMismatch(payload, 0, payloadBytes, payloadBytes)]).toEqual([payloadBytes, -1]);
  right[where] = (right[where] ?? 0) + 1;
  consumeSkb(skbs, asSkbRef(skb));
}

function send(payloadBytes: number): boolean {
  const bytes = new Uint8Array(9100);
  const lenBytes = buildPacket(bytes, 0, {
    ethernet: { srcMac: Uint8Array.of(2, 0, 0, 0, 0, 1), dstMac: Uint8Array.of(2, 0, 0, 0, 0, 2) },
    network: { kind: "ipv4", src: Uint8Array.of(10, 0, 0, 1), dst: Uint8Array.of(10, 0, 0, 2) },
    transport: { kind: "tcp", srcPort: 5000, dstPort: 80 },
    payloadBytes,
    patternSeed: payloadBytes,
  });
  return nic.receive(bytes, 0, lenBytes);
}

test("headers in a page, payload in the bound memory; back in pages after closing", () => {
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  device.open();
  device.openRxqProvider(0, memories[0]);
  for (const size of [6, 500, 4096, 4097, 8900]) expect(send(size)).toBe(true);
  scheduler.runUntilIdle();
  expect(right).toEqual({ pages: 0, one: 5, two: 0 });
  device.closeRxqProvider(0, memories[0]);
  expect(memories[0].outCount).toBe(0);
  send(1000);
  scheduler.runUntilIdle();
  expect([right, nic.getStats().rxSplit, nic.getStats().dmaFaults]).toEqual([{ pages: 1, one: 5, two: 0 }, 6, 0]);
  device.close();
  clock.advance(2000);
  expect(host.pools.list().length).toBe(0);
});

test("swapped under traffic a hundred times: every packet that the hardware took arrives, every byte right", () => {
  const seed = 20260817;
  const prng = new Prng(seed);
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  device.open();
  device.openRxqProvider(0, memories[0]);
  let sent = 0;
  for (let swap = 0; swap < 100; swap++) {
    for (let n = prng.below(40); n > 0; n--) sent += Number(send(6 + prng.below(6000)));
    if (prng.below(3) === 0) scheduler.runOnce();
    const [from, to] = swap % 2 === 0 ? memories : ([memories[1], memories[0]] as const);
    device.swapRxqProvider(0, from, to);
  }
  scheduler.runUntilIdle();
  const arrived = Object.values(right).reduce((sum, count) => sum + count, 0);
  console.log(`seed ${seed}: ${sent} packets, ${right["one"]} in one memory, ${right["two"]} in the other`);
  expect(arrived).toBe(sent);
  expect([right["pages"], (right["one"] ?? 0) > 100, (right["two"] ?? 0) > 100]).toEqual([0, true, true]);
  device.close();
  clock.advance(2000);
  expect([memories.map(({ outCount }) => outCount), host.pools.list().length]).toEqual([[0, 0], 0]);
});

test("the transmitting half is left alone by a restart", () => {
  device.setHeaderSplit({ tcpDataSplit: "enabled" });
  device.open();
  nic.pauseTx(true);
  device.setProgram(() => 3);
  send(100);
  scheduler.runUntilIdle();
  device.setProgram(null);
  let wired = 0;
  nic.setWire((_bytes, _offsets, _lengths, count) => {
    wired += count;
  });
  device.openRxqProvider(0, memories[0]);
  nic.pauseTx(false);
  scheduler.runUntilIdle();
  expect(wired).toBe(1);
  device.close();
  clock.advance(2000);
  expect(host.pools.list().length).toBe(0);
});

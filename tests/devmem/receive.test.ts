import { GveDevmemDriver } from "@netmem-examples/driver-gve-devmem";
import { FbnicDriver } from "@netmem-examples/driver-fbnic-sub0-sub1";
import {
  createHostMemory,
  type DeviceMemory,
  type DevmemBinding,
  type DevmemSocket,
  MSG_SOCK_DEVMEM,
  openIsolatedMemory,
  RECORD_KIND,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  RecordKind,
  serveIsolatedMemory,
} from "@netmem/devmem";
import {
  asSkbRef,
  checksumSkb,
  consumeSkb,
  copyBits,
  copySkb,
  DropReason,
  dropSkb,
  linearizeSkb,
  mayPull,
  SkbView,
} from "@netmem/skb";
import { describe, expect, test } from "vitest";
import { type MakeDriver, makeWorld, PAGE, RING, type World } from "./world.ts";

const drivers: readonly (readonly [string, MakeDriver])[] = [
  ["gve-devmem", (host, queue, hw) => new GveDevmemDriver(host, queue, hw)],
  ["fbnic-sub0-sub1", (host, queue, hw) => new FbnicDriver(host, queue, hw)],
];

const memories: readonly (readonly [string, (pages: number) => DeviceMemory])[] = [
  ["host", (pages) => createHostMemory({ sizeBytes: pages * PAGE })],
  [
    "host-isolated",
    (pages) => {
      const { port1, port2 } = new MessageChannel();
      serveIsolatedMemory(port2, { sizeBytes: pages * PAGE });
      return openIsolatedMemory(port1, { sizeBytes: pages * PAGE });
    },
  ],
];

interface Receiver extends World {
  readonly memory: DeviceMemory;
  readonly binding: DevmemBinding;
}

function bind(makeDriver: MakeDriver, memory: DeviceMemory = createHostMemory({ sizeBytes: 512 * PAGE })): Receiver {
  const world = makeWorld(makeDriver);
  const binding = world.devmem.bindRx({ device: world.device, queues: [0], memory, ports: world.nic.ports });
  return { ...world, memory, binding };
}

function payload(len: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: len }, (_, n) => (n * 13 + seed * 101) & 0xff);
}

interface Received {
  readonly linear: number;
  readonly tokens: number[];
  readonly bytes: Uint8Array;
}

/** What one receive delivered, with the bytes of its tokens. */
async function receive(socket: DevmemSocket): Promise<Received> {
  const [out, records] = [new Uint8Array(65536), new Int32Array(64 * RECORD_WORDS)];
  await socket.readable();
  socket.recv(out, records, MSG_SOCK_DEVMEM, 1e9);
  const tokens: number[] = [];
  let linear = 0;
  for (let n = 0; n < socket.recordCount; n++) {
    const at = n * RECORD_WORDS;
    if (records[at + RECORD_KIND] === RecordKind.Linear) linear += records[at + RECORD_SIZE]!;
    else tokens.push(records[at + RECORD_TOKEN]!);
  }
  return { linear, tokens, bytes: tokens.length === 0 ? new Uint8Array(0) : await socket.readback(tokens) };
}

describe.each(drivers)("%s", (_name, makeDriver) => {
  test.each(memories)("payload lands in %s memory, headers in pages; every byte is right", async (_kind, open) => {
    const {
      scheduler,
      inject,
      socket: makeSocket,
      memory,
      binding,
      device,
      clock,
      warnings,
      devmem,
      skbs,
    } = bind(makeDriver, open(512));
    const socket = makeSocket();
    for (let round = 0; round < 40; round++) {
      const sizes = [1, 100, 1448, 1460, PAGE, PAGE + 1, 8900].map((len, n) => payload(len, round * 7 + n));
      for (const bytes of sizes) expect(inject(bytes)).toBe(true);
      scheduler.runUntilIdle();
      const expected = Buffer.concat(sizes);
      const got: Uint8Array[] = [];
      for (let total = 0; total < expected.length;) {
        const { linear, tokens, bytes } = await receive(socket);
        expect(linear % 54).toBe(0);
        got.push(bytes);
        total += bytes.length;
        expect(socket.dontNeed(Int32Array.of(tokens[0]!, tokens.length), 2)).toBe(tokens.length);
      }
      expect(Buffer.concat(got).equals(expected)).toBe(true);
    }
    const { landing } = binding.stats();
    expect(landing).toMatchObject({ failed: 0, noStaging: 0, stray: 0, inFlight: 0 });
    // 400 pages were written.
    expect(landing.commits).toBeLessThan(110);
    expect(device.getStats()[0]).toMatchObject({ rxPackets: 280, rxBroken: 0 });
    devmem.unbind(binding);
    device.close();
    clock.advance(5000);
    await binding.freed();
    expect([skbs.liveCount, device.drivers[0]!.inflight(), warnings]).toEqual([0, 0, []]);
    await memory.close();
  });

  test("#175 unbind while tokens are held: the queue goes on with pages, the binding ends with the last token", async () => {
    const { scheduler, inject, socket: makeSocket, binding, device, clock, devmem, host } = bind(makeDriver);
    const socket = makeSocket();
    for (let n = 0; n < 5; n++) inject(payload(1000, n));
    scheduler.runUntilIdle();
    const { tokens } = await receive(socket);
    expect(tokens.length).toBe(5);
    devmem.unbind(binding);
    clock.advance(3000);
    expect([binding.isFreed, binding.stats().pages - binding.stats().freePages]).toEqual([false, 5]);
    inject(payload(1000, 9));
    scheduler.runUntilIdle();
    const out = new Uint8Array(4096);
    expect(socket.recv(out, new Int32Array(60), MSG_SOCK_DEVMEM, 4096)).toBe(1054);
    expect([...out.subarray(54, 1054)]).toEqual([...payload(1000, 9)]);
    socket.dontNeed(Int32Array.of(tokens[0]!, 4), 2);
    clock.advance(3000);
    expect(binding.isFreed).toBe(false);
    socket.dontNeed(Int32Array.of(tokens[4]!, 1), 2);
    clock.advance(3000);
    expect([binding.isFreed, host.areas.list().length]).toEqual([true, 0]);
    device.close();
  });

  test("more packets than pages: the NIC drops what has no buffer, and goes on when tokens come back", async () => {
    const {
      scheduler,
      inject,
      socket: makeSocket,
      clock,
      nic,
      device,
      devmem,
      binding,
    } = bind(makeDriver, createHostMemory({ sizeBytes: 2 * RING * PAGE }));
    const socket = makeSocket();
    let taken = 0;
    for (let n = 0; n < 4 * RING; n++) {
      if (inject(payload(100, n))) taken++;
      scheduler.runUntilIdle();
    }
    expect(taken).toBeLessThanOrEqual(2 * RING);
    expect(nic.getStats().rxNoDesc).toBeGreaterThan(0);
    const tokens: number[] = [];
    while (socket.isReadable) tokens.push(...(await receive(socket)).tokens);
    expect(tokens.length).toBe(taken);
    socket.close();
    inject(payload(10, 0));
    scheduler.runUntilIdle();
    expect(inject(payload(100, 1))).toBe(true);
    device.close();
    devmem.unbind(binding);
    clock.advance(5000);
  });
});

describe("unreadable packets", () => {
  function onePacket(): Receiver & { skb: ReturnType<typeof asSkbRef> } {
    const receiver = bind(drivers[0]![1]);
    receiver.inject(payload(1000, 1));
    receiver.scheduler.runUntilIdle();
    return { ...receiver, skb: asSkbRef(receiver.received.shift()!) };
  }

  test("#188 reading past the headers fails, and gives no byte", () => {
    const { skbs, skb, host } = onePacket();
    const view = new SkbView(skbs).of(skb);
    expect([view.unreadable, view.headLen, view.dataLen]).toEqual([true, 54, 1000]);
    const failures = [
      () => copyBits(skbs, skb, 0, new Uint8Array(1054), 1054),
      () => checksumSkb(skbs, skb, 0, 1054, 0),
      () => view.fragData(0),
      () => host.offsetOf(view.fragRef(0) as never),
    ];
    for (const fail of failures) expect(fail).toThrow("ERR_NETMEM_UNREADABLE");
    const refused = (fn: () => unknown): boolean => {
      try {
        return fn() === false || fn() === 0;
      } catch (error) {
        return (error as { code: string }).code === "ERR_NETMEM_UNREADABLE";
      }
    };
    expect(refused(() => linearizeSkb(skbs, skb))).toBe(true);
    expect(refused(() => mayPull(skbs, skb, 1000))).toBe(true);
    expect(refused(() => copySkb(skbs, skb))).toBe(true);
    expect([mayPull(skbs, skb, 54), skbs.liveCount]).toEqual([true, 1]);
    dropSkb(skbs, skb, DropReason.NotSpecified);
  });

  test("#188 a device without netmem_tx, and receive memory on any device: not to be sent", () => {
    const { skbs, skb, devmem, device, memory } = onePacket();
    const view = new SkbView(skbs);
    expect(devmem.mayTransmit({ ifindex: device.ifindex }, view, skb)).toBe(false);
    expect(devmem.mayTransmit({ ifindex: device.ifindex, netmemTx: true }, view, skb)).toBe(false);
    consumeSkb(skbs, skb);
    expect(devmem.bindTx({ device, memory }).ifindex).toBe(device.ifindex);
  });
});

test.each(drivers)(
  "%s: a binding too small for the ring is refused, and the queue runs on with pages",
  (_name, makeDriver) => {
    const { devmem, device, nic, host, inject, scheduler, received, skbs } = makeWorld(makeDriver);
    const memory = createHostMemory({ sizeBytes: (RING / 2) * PAGE });
    const before = host.pages.freePageCount();
    expect(() => devmem.bindRx({ device, queues: [0], memory, ports: nic.ports })).toThrow("ERR_EXAMPLE_NO_BUFFERS");
    expect([devmem.list().length, host.areas.list().length, nic.ports.count]).toEqual([0, 0, 0]);
    expect(before - host.pages.freePageCount()).toBeLessThan(32);
    expect(inject(payload(1000, 3))).toBe(true);
    scheduler.runUntilIdle();
    const bytes = new Uint8Array(1000);
    copyBits(skbs, asSkbRef(received[0]!), 54, bytes, 1000);
    expect([...bytes]).toEqual([...payload(1000, 3)]);
    consumeSkb(skbs, asSkbRef(received[0]!));
    device.close();
  },
);

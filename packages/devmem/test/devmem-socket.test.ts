import { type NetmemRef, ppRefCount, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import {
  createDevmemAllocator,
  createTokenRing,
  type DevmemAllocator,
  type DevmemBinding,
  DevmemSocket,
  type DevmemSocketParams,
  MSG_SOCK_DEVMEM,
  RECORD_DMABUF,
  RECORD_KIND,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  RecordKind,
  recordOffset,
  TokenReturner,
} from "../src/index.ts";
import { makeWorld, PAGE, TestPackets, type World } from "./fixture.ts";
import { SlowMemory } from "./slow-memory.ts";

interface Consumer extends World {
  readonly binding: DevmemBinding;
  readonly allocator: DevmemAllocator;
  readonly packets: TestPackets;
  readonly socket: DevmemSocket;
  readonly out: Uint8Array;
  readonly records: Int32Array;
  /** A packet with `headLen` bytes of header and a page per length, landed. */
  readonly packet: (
    headLen: number,
    lens: readonly number[],
    list?: readonly number[],
  ) => { id: number; refs: NetmemRef[] };
  /** One receive; the records as tokens, headers as 0. */
  readonly recv: (maxBytes?: number) => number[];
}

function makeConsumer(params: Partial<DevmemSocketParams> = {}): Consumer {
  const world = makeWorld();
  const { host } = world;
  const binding = world.devmem.bindRx({ device: world.device, queues: [0], memory: world.memory });
  const allocator = createDevmemAllocator(host, binding);
  const packets = new TestPackets((ref) => returnNetmem(host, ref as NetmemRef));
  const socket = new DevmemSocket(world.devmem, { packets, ...params });
  const out = new Uint8Array(4096);
  const records = new Int32Array(64 * RECORD_WORDS);
  const head = host.offsetOf(host.pages.allocPages(0) as never);
  const packet: Consumer["packet"] = (headLen, lens, list = []) => {
    const refs = lens.map(() => allocator.allocNetmem() as NetmemRef);
    const frags = refs.map((ref, n) => ({ ref, offset: 100, len: lens[n]! }));
    host.u8.fill(0x48, head, head + headLen);
    return { id: packets.add({ data: head, headLen, frags, unreadable: lens.length > 0, list }), refs };
  };
  const recv = (maxBytes = 1e9): number[] => {
    socket.recv(out, records, MSG_SOCK_DEVMEM, maxBytes);
    return Array.from({ length: socket.recordCount }, (_, n) => records[n * RECORD_WORDS + RECORD_TOKEN]!);
  };
  return { ...world, binding, allocator, packets, socket, out, records, packet, recv };
}

function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "nothing";
}

describe("receiving", () => {
  test("#181 a record says where the bytes are, and its token holds the page", () => {
    const { host, binding, socket, out, records, packet, recv, allocator } = makeConsumer();
    allocator.allocNetmem();
    const { id, refs } = packet(54, [1000]);
    socket.enqueue(id);
    expect(ppRefCount(host, refs[0]!)).toBe(1);
    const tokens = recv(54 + 600);
    expect(ppRefCount(host, refs[0]!)).toBe(2);
    expect([socket.copiedBytes, out[53], records[RECORD_KIND], records[RECORD_SIZE]]).toEqual([
      54,
      0x48,
      RecordKind.Linear,
      54,
    ]);
    expect(records[RECORD_WORDS + RECORD_KIND]).toBe(RecordKind.Dmabuf);
    expect(records[RECORD_WORDS + RECORD_DMABUF]).toBe(binding.id);
    expect([recordOffset(records, 1), records[RECORD_WORDS + RECORD_SIZE]]).toEqual([PAGE + 100, 600]);
    // #182 the rest of the fragment is a token of its own
    const rest = recv();
    expect(recordOffset(records, 0)).toBe(PAGE + 700);
    expect(ppRefCount(host, refs[0]!)).toBe(2);
    expect(socket.dontNeed(Int32Array.of(tokens[1]!, 1), 2)).toBe(1);
    expect(allocator.inflight()).toBe(2);
    expect(socket.dontNeed(Int32Array.of(rest[0]!, 1), 2)).toBe(1);
    expect(allocator.inflight()).toBe(1);
  });

  test("#181 the packet is consumed with its last byte, and only the token is left", () => {
    const { host, socket, packets, packet, recv } = makeConsumer();
    const { id, refs } = packet(54, [10, 20]);
    socket.enqueue(id);
    recv(84);
    expect([packets.live.size, ppRefCount(host, refs[0]!), ppRefCount(host, refs[1]!)]).toEqual([0, 1, 1]);
  });

  test("#179 without MSG_SOCK_DEVMEM: EFAULT, and the data stays queued", () => {
    const { socket, out, records, packet, recv } = makeConsumer();
    socket.enqueue(packet(0, [10]).id);
    expect(() => socket.recv(out, records, 0, 100)).toThrow("ERR_NETMEM_UNREADABLE");
    expect(recv().length).toBe(1);
  });

  test("one call never mixes readable bytes and device memory", () => {
    const { socket, out, records, packet } = makeConsumer();
    for (const lens of [[], [], [10], [10], []]) socket.enqueue(packet(20, lens).id);
    const recv = (): number[] => {
      const bytes = socket.recv(out, records, MSG_SOCK_DEVMEM, 1000);
      return [bytes, socket.copiedBytes, socket.recordCount];
    };
    expect([recv(), recv(), recv(), recv()]).toEqual([
      [40, 40, 0],
      [60, 40, 4],
      [20, 20, 0],
      [0, 0, 0],
    ]);
  });

  test("packets of a fragment list are read in order", () => {
    const { socket, records, packets, packet, recv } = makeConsumer();
    const children = [packet(0, [5, 6]), packet(3, [7])];
    const parent = packet(
      54,
      [4],
      children.map(({ id }) => id),
    );
    socket.enqueue(parent.id);
    recv();
    const sizes = Array.from({ length: socket.recordCount }, (_, n) => records[n * RECORD_WORDS + RECORD_SIZE]);
    expect(sizes).toEqual([54, 4, 5, 6, 3, 7]);
    expect(packets.live.size).toBe(0);
  });

  test("ends where the records, the copy's room or the tokens end, and goes on there", () => {
    const { socket, out, records, packet } = makeConsumer({ maxTokens: 16 });
    socket.enqueue(
      packet(
        30,
        Array.from({ length: 17 }, () => 8),
      ).id,
    );
    expect(socket.recv(new Uint8Array(20), records, MSG_SOCK_DEVMEM, 1000)).toBe(20);
    expect(socket.recv(out, records.subarray(0, 2 * RECORD_WORDS), MSG_SOCK_DEVMEM, 1000)).toBe(10 + 8);
    expect(socket.recv(out, records, MSG_SOCK_DEVMEM, 1000)).toBe(15 * 8);
    expect(socket.recv(out, records, MSG_SOCK_DEVMEM, 1000)).toBe(0);
    expect(socket.stats()).toMatchObject({ tokens: 16, exhausted: 2 });
    expect(socket.close()).toBe(16);
  });

  test("a fragment of no binding: ENODEV, the packet stays until it is discarded", () => {
    const { host, socket, packets, packet, recv } = makeConsumer();
    const area = host.areas.add({ name: "other", count: 1, pageShift: 12 });
    const ref = host.areas.refAt(area, 0);
    socket.enqueue(packets.add({ data: 0, headLen: 0, frags: [{ ref, offset: 0, len: 9 }], unreadable: true }));
    socket.enqueue(packet(0, [10]).id);
    expect(codeOf(recv)).toBe("ERR_NETMEM_NOT_DEVMEM");
    expect(codeOf(recv)).toBe("ERR_NETMEM_NOT_DEVMEM");
    packets.get(1);
    packets.live.set(1, { ...packets.get(1), frags: [] });
    socket.discard();
    expect(recv().length).toBe(1);
  });

  test("a full queue refuses packets, which stay their owner's", () => {
    const { socket, packet } = makeConsumer({ maxPackets: 2 });
    const ids = [packet(1, []), packet(1, []), packet(1, [])].map(({ id }) => id);
    expect(ids.map((id) => socket.enqueue(id))).toEqual([true, true, false]);
    expect(socket.stats().refused).toBe(1);
  });
});

describe("tokens coming back", () => {
  function withTokens(count: number, params: Partial<DevmemSocketParams> = {}): Consumer & { tokens: number[] } {
    const consumer = makeConsumer({ maxTokens: 4096, ...params });
    const tokens: number[] = [];
    while (tokens.length < count) {
      const lens = Array.from({ length: Math.min(16, count - tokens.length) }, () => 64);
      consumer.socket.enqueue(consumer.packet(0, lens).id);
      tokens.push(...consumer.recv());
    }
    return { ...consumer, tokens };
  }

  test("tokens of a batch are one range", () => {
    const { tokens, socket, allocator } = withTokens(100);
    expect(tokens).toEqual(Array.from({ length: 100 }, (_, n) => tokens[0]! + n));
    expect(socket.dontNeed(Int32Array.of(tokens[0]!, 100), 2)).toBe(100);
    expect([allocator.inflight(), socket.stats().tokens]).toEqual([0, 0]);
  });

  test("out of order, twice, in parts: each ends once, the rest is skipped and counted", () => {
    const { tokens, socket, allocator } = withTokens(10);
    const first = tokens[0]!;
    expect(socket.dontNeed(Int32Array.of(first + 7, 3, first, 2), 4)).toBe(5);
    expect(socket.dontNeed(Int32Array.of(first, 10), 2)).toBe(5);
    expect(socket.dontNeed(Int32Array.of(first, 10), 2)).toBe(0);
    expect(socket.stats()).toMatchObject({ tokens: 0, returned: 10, unknown: 15, lost: 0 });
    expect(allocator.inflight()).toBe(0);
  });

  test("#184 half a pair, 129 pairs, more words than there are: EINVAL; UDP and closed: EBADF", () => {
    const { tokens, socket, devmem, packets } = withTokens(1);
    const words = new Int32Array(260);
    for (const count of [1, 3, 258, 260, -2]) {
      expect(codeOf(() => socket.dontNeed(words, count))).toBe("ERR_NETMEM_TOKEN_RANGES");
    }
    expect(codeOf(() => socket.dontNeed(words.subarray(0, 2), 4))).toBe("ERR_NETMEM_TOKEN_RANGES");
    const udp = new DevmemSocket(devmem, { packets, protocol: "udp" });
    expect(codeOf(() => udp.dontNeed(words, 2))).toBe("ERR_NETMEM_NOT_TCP");
    expect(socket.dontNeed(words, 256)).toBe(0);
    expect(socket.dontNeed(Int32Array.of(tokens[0]!, 1), 2)).toBe(1);
    socket.close();
    expect(codeOf(() => socket.dontNeed(words, 2))).toBe("ERR_NETMEM_SOCKET_CLOSED");
  });

  test("#185 one call looks at 1024 tokens, those that are not out included", () => {
    const { tokens, socket } = withTokens(200);
    const first = tokens[0]!;
    expect(socket.dontNeed(Int32Array.of(first - 1000, 1000, first, 200), 4)).toBe(24);
    expect(socket.dontNeed(Int32Array.of(first, -1), 2)).toBe(176);
  });

  test("giveBack names a token that is not out, and returns none then", () => {
    const { tokens, socket } = withTokens(4);
    socket.giveBack(tokens[1]!, 1);
    expect(codeOf(() => socket.giveBack(tokens[0]!, 4))).toBe("ERR_NETMEM_TOKEN_UNKNOWN");
    expect(codeOf(() => socket.giveBack(tokens[1]!, 1))).toBe("ERR_NETMEM_TOKEN_UNKNOWN");
    expect(socket.stats().tokens).toBe(3);
    socket.giveBack(tokens[2]!, 2);
    socket.giveBack(tokens[0]!, 1);
    expect(socket.stats()).toMatchObject({ tokens: 0, returned: 4 });
  });

  test("a token of another socket is none of this one's", () => {
    const { tokens, socket, devmem, packets, packet, out, records } = withTokens(4);
    const other = new DevmemSocket(devmem, { packets, maxTokens: 16 });
    // Every slot of the other one is taken.
    other.enqueue(
      packet(
        0,
        Array.from({ length: 16 }, () => 1),
      ).id,
    );
    expect(other.recv(out, records, MSG_SOCK_DEVMEM, 100)).toBe(16);
    expect(other.dontNeed(Int32Array.of(tokens[0]!, 4), 2)).toBe(0);
    expect(codeOf(() => other.giveBack(tokens[0]!, 1))).toBe("ERR_NETMEM_TOKEN_UNKNOWN");
    expect([socket.stats().tokens, other.stats().tokens]).toEqual([4, 16]);
  });

  test("closing returns what the application forgot, and drops what it never read", () => {
    const { socket, allocator, packet, packets, binding } = withTokens(20);
    socket.enqueue(packet(5, [6, 7]).id);
    expect(allocator.inflight()).toBe(22);
    expect(socket.close()).toBe(20);
    expect([allocator.inflight(), packets.live.size, socket.close()]).toEqual([0, 0, 0]);
    expect(binding.isFreed).toBe(false);
    expect(codeOf(() => socket.recv(new Uint8Array(1), new Int32Array(6), 0, 1))).toBe("ERR_NETMEM_SOCKET_CLOSED");
    expect(socket.enqueue(packet(1, []).id)).toBe(false);
  });

  test("a consumer that goes closes its socket by its signal", () => {
    const gone = new AbortController();
    const { allocator, socket } = withTokens(9, { signal: gone.signal });
    gone.abort();
    expect([allocator.inflight(), socket.stats().tokens]).toEqual([0, 0]);
    const late = makeConsumer({ signal: AbortSignal.abort() });
    expect(late.socket.enqueue(1)).toBe(false);
  });

  test("a page that somebody returned behind its token's back is counted, the rest goes home", () => {
    const { host, tokens, socket, allocator, binding } = withTokens(3);
    returnNetmem(host, binding.pages.refAt(1) as NetmemRef);
    expect(socket.dontNeed(Int32Array.of(tokens[0]!, 3), 2)).toBe(3);
    expect(socket.stats()).toMatchObject({ returned: 2, lost: 1, tokens: 0 });
    expect(allocator.inflight()).toBe(0);
  });

  test("the ring carries ranges home without a call", () => {
    const world = makeConsumer();
    const ringAt = createTokenRing(world.host, 8);
    const socket = new DevmemSocket(world.devmem, { packets: world.packets, returnRing: ringAt });
    const consumer = { ...world, socket };
    consumer.socket.enqueue(world.packet(0, [1, 2, 3, 4, 5]).id);
    socket.recv(world.out, world.records, MSG_SOCK_DEVMEM, 100);
    const first = world.records[RECORD_TOKEN]!;
    const app = new TokenReturner(world.host, ringAt);
    expect([app.give(first, 1), app.give(first + 1, 2), app.give(first + 4, 1)]).toEqual([true, true, true]);
    expect(socket.drainReturns()).toBe(0);
    expect(app.flush()).toBe(true);
    expect(socket.drainReturns()).toBe(4);
    expect(world.allocator.inflight()).toBe(1);
    app.give(first + 3, 1);
    app.flush();
    // A receive looks by itself.
    socket.recv(world.out, world.records, MSG_SOCK_DEVMEM, 100);
    expect(world.allocator.inflight()).toBe(0);
  });

  test("a full ring refuses, and takes the rest later", () => {
    const { host, devmem, packets } = makeConsumer();
    const ringAt = createTokenRing(host, 2);
    const socket = new DevmemSocket(devmem, { packets, returnRing: ringAt });
    const app = new TokenReturner(host, ringAt);
    expect([10, 20, 30, 40].map((token) => app.give(token, 1))).toEqual([true, true, true, false]);
    expect(app.flush()).toBe(false);
    socket.drainReturns();
    expect(app.give(40, 1)).toBe(true);
    expect(app.flush()).toBe(true);
    socket.drainReturns();
    expect(socket.stats().unknown).toBe(4);
  });

  test("bad input in the ring: any words cost the time of the table, and end only what they name", () => {
    const { host, devmem, packets, packet, out, records, allocator } = makeConsumer();
    const ringAt = createTokenRing(host, 8);
    const socket = new DevmemSocket(devmem, { packets, returnRing: ringAt });
    socket.enqueue(packet(0, [1, 2, 3]).id);
    socket.recv(out, records, MSG_SOCK_DEVMEM, 100);
    const first = records[RECORD_TOKEN]!;
    const app = new TokenReturner(host, ringAt);
    for (const [token, count] of [
      [first, 0],
      [first, -5],
      [-7, 3],
      [0x7fffffff, 5],
      [1, 0x7ffffff0 - first],
      [first + 1, 0x7fffffff],
    ] as const) {
      app.give(token, count);
    }
    app.flush();
    expect(socket.drainReturns()).toBe(first < 0x3fffffff ? 3 : 2);
    expect(allocator.inflight()).toBe(3 - socket.stats().returned);
    socket.close();
    expect(allocator.inflight()).toBe(0);
  });
});

describe("landings under way", () => {
  async function withSlow(): Promise<
    Consumer & { slow: SlowMemory; slowBinding: DevmemBinding; id: number; ref: NetmemRef }
  > {
    const consumer = makeConsumer();
    const slow = new SlowMemory(16);
    const slowBinding = consumer.devmem.bindRx({ device: consumer.device, queues: [1], memory: slow });
    const ref = createDevmemAllocator(consumer.host, slowBinding).allocNetmem() as NetmemRef;
    slowBinding.landing.write(0, 0, new Uint8Array(100), 0, 100);
    const frags = [{ ref, offset: 0, len: 100 }];
    const id = consumer.packets.add({ data: 0, headLen: 0, frags, unreadable: true });
    consumer.socket.enqueue(id);
    return { ...consumer, slow, slowBinding, id, ref };
  }

  test("a token is given out once its bytes have landed, and packets behind it wait", async () => {
    const { socket, slow, packet, recv } = await withSlow();
    socket.enqueue(packet(0, [5]).id);
    expect([recv().length, socket.isReadable]).toEqual([0, false]);
    const readable = socket.readable();
    slow.commits[0]!.land();
    await readable;
    expect(recv().length).toBe(2);
  });

  test("a packet whose bytes never landed is dropped and counted", async () => {
    const { socket, slow, slowBinding, packets, packet, recv } = await withSlow();
    socket.enqueue(packet(0, [5]).id);
    slowBinding.landing.flush();
    slow.commits[0]!.fail();
    await slowBinding.landing.settled();
    expect(recv().length).toBe(1);
    expect(socket.stats()).toMatchObject({ failed: 1, tokens: 1 });
    expect([packets.live.size, slowBinding.pages.freeCount]).toEqual([0, 0]);
  });
});

describe("device work", () => {
  test("a page is not reused while a device reads it, though its token came back", async () => {
    const { socket, packet, recv, allocator } = makeConsumer();
    socket.enqueue(packet(0, [100]).id);
    const tokens = recv();
    let finish = (): void => {};
    const work = socket.use(tokens, () => new Promise<void>((resolve) => (finish = resolve)));
    await Promise.resolve();
    expect(socket.dontNeed(Int32Array.of(tokens[0]!, 1), 2)).toBe(1);
    expect(allocator.inflight()).toBe(1);
    finish();
    await work;
    expect(allocator.inflight()).toBe(0);
  });

  test("work that fails lets go of the pages too", async () => {
    const { socket, packet, recv, allocator } = makeConsumer();
    socket.enqueue(packet(0, [100]).id);
    await expect(socket.use(recv(), () => Promise.reject(new Error("shader")))).rejects.toThrow("shader");
    socket.close();
    expect(allocator.inflight()).toBe(0);
  });

  test("the bytes of a token are the packet's", async () => {
    const { binding, socket, memory, packet, recv } = makeConsumer();
    const { id, refs } = packet(0, [50, 60]);
    const bytes = Uint8Array.from({ length: 60 }, (_, n) => n + 1);
    for (const ref of refs) binding.landing.write(binding.pages.ordinalOf(ref), 100, bytes, 0, 60);
    socket.enqueue(id);
    const read = await socket.readback(recv());
    expect([...read]).toEqual([...bytes.subarray(0, 50), ...bytes]);
    expect(memory.readbackBytes).toBe(110);
  });

  test("unknown tokens and tokens of two memories are refused", async () => {
    const { socket, packet, recv } = makeConsumer();
    await expect(socket.readback([5])).rejects.toMatchObject({ code: "ERR_NETMEM_TOKEN_UNKNOWN" });
    await expect(socket.readback([])).rejects.toMatchObject({ code: "ERR_NETMEM_TOKENS_MIXED" });
    socket.enqueue(packet(0, [1]).id);
    const tokens = recv();
    await expect(socket.readback([tokens[0]!, tokens[0]! + 1])).rejects.toMatchObject({
      code: "ERR_NETMEM_TOKEN_UNKNOWN",
    });
    expect((await socket.readback(tokens)).length).toBe(1);
  });

  test("readable() waits for a packet, and ends with the socket", async () => {
    const { socket, packet } = makeConsumer();
    let woken = 0;
    const first = socket.readable().then(() => woken++);
    await Promise.resolve();
    expect(woken).toBe(0);
    socket.enqueue(packet(1, []).id);
    await first;
    socket.discard();
    const second = socket.readable();
    socket.close();
    await second;
  });
});

import { META_STATE_MASK, type NetmemRef, NetmemState, refNetmem, returnNetmem } from "@netmem/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  createDevmemAllocator,
  DevmemSocket,
  MSG_SOCK_DEVMEM,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  recordOffset,
} from "../src/index.ts";
import { makeWorld, PAGE, TestPackets } from "./fixture.ts";
import { SlowMemory } from "./slow-memory.ts";

const PAGES = 12;
const HALF = PAGE / 2;
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface HeldToken {
  readonly token: number;
  readonly offset: number;
  readonly size: number;
  readonly mark: number;
}

/** Everything at once on a few pages: what is held may never be written, and every page is somewhere exactly once. */
class Machine {
  private readonly world = makeWorld(PAGES);
  private readonly memory = new SlowMemory(PAGES);
  private readonly binding = this.world.devmem.bindRx({ device: this.world.device, queues: [0], memory: this.memory });
  private readonly allocators = [0, 1].map(() => createDevmemAllocator(this.world.host, this.binding));
  private readonly packets = new TestPackets((ref) => returnNetmem(this.world.host, ref as NetmemRef));
  private readonly socket = new DevmemSocket(this.world.devmem, {
    packets: this.packets,
    maxTokens: 64,
    maxPackets: 8,
  });
  private readonly records = new Int32Array(16 * RECORD_WORDS);
  /** What was last written to each half page of the device. */
  private readonly marks = new Map<number, number>();
  private readonly held: HeldToken[] = [];
  private readonly work: { readonly held: readonly HeldToken[]; readonly finish: () => void }[] = [];
  private nextMark = 1;
  /** A page whose second half is still to be received into. */
  private half: NetmemRef | 0 = 0;

  constructor() {
    this.memory.staging = 3;
  }

  /** A packet; without a socket its driver drops it, landed or not. */
  receive(which: number, lens: readonly number[], toSocket: boolean): void {
    const allocator = this.allocators[which]!;
    const { landing, pages } = this.binding;
    const refs: NetmemRef[] = [];
    for (const len of lens) {
      const ref = allocator.allocNetmem();
      if (ref === 0) break;
      refs.push(ref);
      const mark = this.nextMark++ & 0xff;
      if (!landing.write(pages.ordinalOf(ref), 0, new Uint8Array(len).fill(mark), 0, len)) break;
      for (const half of [0, 1]) this.marks.set(2 * pages.pageOf(ref) + half, mark);
      if (refs.length < lens.length) continue;
      const frags = refs.map((one, n) => ({ ref: one, offset: 0, len: lens[n]! }));
      const packet = this.packets.add({ data: 0, headLen: 0, frags, unreadable: true });
      if (!toSocket || !this.socket.enqueue(packet)) this.packets.consume(packet);
      return;
    }
    for (const ref of refs) allocator.put(ref, -1, true);
  }

  /** A packet in half a page: in the first one now, in the second one when it is called again, whatever came between. */
  receiveHalf(which: number, len: number): void {
    const { host } = this.world;
    const { landing, pages } = this.binding;
    const isFirst = this.half === 0;
    const allocator = this.allocators[which]!;
    // Of two pages in a row the second one, so that the next packet lands in front of it.
    const inFront = isFirst ? allocator.allocNetmem() : 0;
    const ref = isFirst ? allocator.allocNetmem() : this.half;
    if (inFront !== 0) allocator.put(inFront, -1, true);
    if (ref === 0) return;
    if (isFirst) refNetmem(host, ref);
    this.half = isFirst ? ref : 0;
    const offset = isFirst ? 0 : HALF;
    const mark = this.nextMark++ & 0xff;
    if (!landing.write(pages.ordinalOf(ref), offset, new Uint8Array(len).fill(mark), 0, len))
      return returnNetmem(host, ref);
    this.marks.set(2 * pages.pageOf(ref) + (isFirst ? 0 : 1), mark);
    const packet = this.packets.add({ data: 0, headLen: 0, frags: [{ ref, offset, len }], unreadable: true });
    if (!this.socket.enqueue(packet)) this.packets.consume(packet);
  }

  async end(which: number, good: boolean): Promise<void> {
    const commit = this.memory.commits.splice(which % Math.max(this.memory.commits.length, 1), 1)[0];
    if (good) commit?.land();
    else commit?.fail();
    await settle();
  }

  recv(maxBytes: number): void {
    this.socket.recv(new Uint8Array(0), this.records, MSG_SOCK_DEVMEM, maxBytes);
    for (let n = 0; n < this.socket.recordCount; n++) {
      const offset = recordOffset(this.records, n);
      const mark = this.marks.get(Math.floor(offset / HALF)) ?? -1;
      const [size, token] = [
        this.records[n * RECORD_WORDS + RECORD_SIZE]!,
        this.records[n * RECORD_WORDS + RECORD_TOKEN]!,
      ];
      this.held.push({ token, offset, size, mark });
    }
  }

  giveBack(from: number, count: number): void {
    const ended = this.held.splice(from % Math.max(this.held.length, 1), count);
    const ranges = Int32Array.from(ended.flatMap(({ token }) => [token, 1, token, 1]));
    expect(this.socket.dontNeed(ranges, ranges.length)).toBe(ended.length);
  }

  async use(from: number, count: number): Promise<void> {
    const held = this.held.slice(from % Math.max(this.held.length, 1)).slice(0, count);
    if (held.length === 0) return;
    let finish = (): void => {};
    void this.socket.use(
      held.map(({ token }) => token),
      () => new Promise<void>((resolve) => (finish = resolve)),
    );
    await settle();
    this.work.push({ held, finish });
  }

  async finish(which: number): Promise<void> {
    this.work.splice(which % Math.max(this.work.length, 1), 1)[0]?.finish();
    await settle();
  }

  check(): void {
    const { host } = this.world;
    for (let n = 0; n < PAGES; n++) {
      const ref = this.binding.pages.refAt(n) as NetmemRef;
      const isOut = (host.i32[(ref >>> 1) & 0xfffff]! & META_STATE_MASK) >>> 9 === NetmemState.Out;
      expect(isOut || !this.binding.landing.isLanding(ref)).toBe(true);
    }
    for (const { offset, size, mark } of [...this.held, ...this.work.flatMap(({ held }) => held)]) {
      expect(this.memory.bytes.subarray(offset, offset + size).every((byte) => byte === mark)).toBe(true);
    }
    expect(this.socket.stats()).toMatchObject({ tokens: this.held.length, lost: 0 });
    let [free, pooled, out] = [0, 0, 0];
    for (let n = 0; n < PAGES; n++) {
      const state = (host.i32[(this.binding.pages.refAt(n) >>> 1) & 0xfffff]! & META_STATE_MASK) >>> 9;
      if (state === NetmemState.Free) free++;
      else if (state === NetmemState.Pooled) pooled++;
      else out++;
    }
    const stats = this.allocators.map((allocator) => allocator.stats());
    expect(free).toBe(this.binding.stats().freePages);
    expect(pooled).toBe(stats[0]!.cached + stats[1]!.cached);
    expect(out).toBe(stats[0]!.out + stats[1]!.out);
    expect(this.world.warnings).toEqual([]);
  }

  async close(): Promise<void> {
    this.binding.landing.flush();
    while (this.memory.commits.length > 0) await this.end(0, true);
    this.socket.close();
    if (this.half !== 0) returnNetmem(this.world.host, this.half);
    while (this.work.length > 0) await this.finish(0);
    this.held.length = 0;
    this.check();
    expect(this.allocators.map((allocator) => allocator.inflight())).toEqual([0, 0]);
    this.world.devmem.unbind(this.binding);
    for (const allocator of this.allocators) allocator.destroy();
    expect(this.binding.isFreed).toBe(true);
    expect(this.world.host.areas.list()).toEqual([]);
  }
}

const small = fc.nat({ max: 60 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(
      fc.constant("receive" as const),
      fc.nat({ max: 7 }),
      fc.array(fc.integer({ min: 1, max: PAGE }), { minLength: 1, maxLength: 4 }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constant("half" as const), fc.nat({ max: 1 }), fc.integer({ min: 1, max: HALF })),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constant("end" as const),
      small,
      fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    ),
  },
  { weight: 4, arbitrary: fc.tuple(fc.constant("recv" as const), fc.integer({ min: 0, max: 9000 }), fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("giveBack" as const), small, fc.nat({ max: 12 })) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("use" as const), small, fc.nat({ max: 5 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("finish" as const), small, fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("tick" as const), small, fc.constant(0)) },
);

test("no page is written while anybody holds it, and every page is somewhere once", async () => {
  console.log(`devmem: NETMEM_SEED=${seed}`);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 120 }), async (steps) => {
      const machine = new Machine();
      for (const [op, a, b] of steps) {
        if (op === "receive") machine.receive(a & 1, b, a > 1);
        else if (op === "half") machine.receiveHalf(a, b);
        else if (op === "end") await machine.end(a, b);
        else if (op === "recv") machine.recv(a);
        else if (op === "giveBack") machine.giveBack(a, b);
        else if (op === "use") await machine.use(a, b);
        else if (op === "finish") await machine.finish(a);
        else await settle();
        machine.check();
      }
      await machine.close();
    }),
    { seed, numRuns: 100 },
  );
}, 60_000);

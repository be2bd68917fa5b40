import { type NetmemRef, refNetmem, returnNetmem } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BindFlag, checkXskInvariants, UmemFlag, xskFlush, xskRcv, xskRcvZc } from "../src/index.ts";
import { bytesOf, IFINDEX, makeSocket, type SocketParams, type SocketRig, takeFrames } from "./fixture.ts";

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
const given = process.env["NETMEM_SEED"];
const seed = given === undefined || given === "" ? Math.floor(Math.random() * 2 ** 31) : Number(given);
console.log(`xsk model: NETMEM_SEED=${seed}`);

const FRAMES = 16;
const KINDS = [
  "post",
  "rx",
  "rxZeroCopy",
  "driverHolds",
  "driverFrees",
  "receive",
  "giveBack",
  "send",
  "sendParts",
  "kick",
  "complete",
  "lie",
] as const;

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly size: number;
  readonly pick: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS),
  size: fc.integer({ min: 1, max: 9 }),
  pick: fc.nat(1 << 20),
});

/** What happened over all runs: a model in which nothing moves proves nothing. */
interface Tally {
  posted: number;
  received: number;
  sent: number;
  refused: number;
  completed: number;
  held: number;
}

/** A socket, its kernel, and who holds which frame. */
class Pair {
  readonly rig: SocketRig;
  private readonly held: NetmemRef[] = [];
  private readonly driver: NetmemRef[] = [];
  private readonly isZeroCopy: boolean;
  private isHonest = true;

  private readonly tally: Tally;

  constructor(params: SocketParams, tally: Tally) {
    this.tally = tally;
    this.rig = makeSocket(params);
    this.isZeroCopy = this.rig.queue.isZeroCopy;
  }

  run({ kind, size, pick }: Step): void {
    this[kind](size, pick);
    this.check();
  }

  post(size: number): void {
    const { frames } = this.rig.umem;
    const out = new Int32Array(size);
    const n = frames!.allocBulk(out, size);
    const posted = this.rig.rings.post(out, n);
    this.tally.posted += posted;
    this.held.push(...([...out.subarray(posted, n)] as NetmemRef[]));
  }

  rx(size: number): void {
    const bytes = bytesOf(size * 900, size);
    xskRcv(this.rig.socket, IFINDEX, 0, bytes, 0, bytes.length, 0);
    xskFlush(this.rig.socket);
  }

  rxZeroCopy(size: number): void {
    const { buffs } = this.rig.queue;
    const head = buffs.allocNetmem();
    if (head === 0) return;
    buffs.setSize(head, 64);
    for (let n = 1; n < size; n++) {
      const ref = buffs.allocNetmem();
      if (ref === 0) break;
      buffs.setSize(ref, 64 + n);
      buffs.addFrag(head, ref);
    }
    xskRcvZc(this.rig.socket, head);
    xskFlush(this.rig.socket);
  }

  driverHolds(size: number): void {
    const out = new Int32Array(size);
    const n = this.rig.queue.buffs.allocBulk(out, size);
    this.tally.held += n;
    this.driver.push(...([...out.subarray(0, n)] as NetmemRef[]));
  }

  driverFrees(size: number, pick: number): void {
    for (const ref of this.driver.splice(pick % (this.driver.length + 1), size)) {
      if (pick % 2 === 0) this.rig.queue.buffs.free(ref);
      else returnNetmem(this.rig.host, ref);
    }
  }

  receive(size: number): void {
    const n = this.rig.rings.receive(size);
    this.tally.received += n;
    this.held.push(...([...this.rig.rings.refs.subarray(0, n)] as NetmemRef[]));
  }

  giveBack(size: number, pick: number): void {
    for (const ref of this.held.splice(pick % (this.held.length + 1), size)) returnNetmem(this.rig.host, ref);
  }

  send(size: number, pick: number): void {
    const ref = this.take(pick);
    if (ref === undefined) return;
    const at = this.rig.host.offsetOf(ref as never);
    if (this.rig.rings.transmitOne(ref, at + size, size * 300)) this.tally.sent++;
    else {
      this.tally.refused++;
      this.held.push(ref);
    }
  }

  sendParts(size: number, pick: number): void {
    const ref = this.take(pick);
    if (ref === undefined) return;
    const { rings, host } = this.rig;
    const at = host.offsetOf(ref as never);
    for (let n = 1; n < size; n++) refNetmem(host, ref);
    const parts = Array.from({ length: size }, (_, n) => n);
    // A long last part is refused, and with it all of them.
    const lengths = parts.map((n) => (n === size - 1 && pick % 4 === 0 ? 5000 : 100));
    const offsets = parts.map((n) => at + n * 100);
    const refs = Int32Array.from(parts, () => ref);
    if (rings.transmit(refs, Int32Array.from(offsets), Int32Array.from(lengths), size)) {
      this.tally.sent += size;
      return;
    }
    this.tally.refused++;
    for (let n = 1; n < size; n++) returnNetmem(host, ref);
    this.held.push(ref);
  }

  kick(size: number): void {
    const { rings, socket, queue } = this.rig;
    rings.submitTx();
    if (!this.isZeroCopy) socket.sendto();
    else {
      queue.tx.peekBatch(size);
      queue.tx.completed(Math.min(size, queue.tx.outstandingCount));
    }
  }

  complete(size: number): void {
    this.tally.completed += this.rig.rings.complete(size);
  }

  /** The kernel's end writes nonsense into the next entry that the user will read. */
  lie(size: number, pick: number): void {
    const { host, socket } = this.rig;
    const layout = size % 2 === 0 ? socket.layouts.rx! : socket.layouts.completion!;
    const words = size % 2 === 0 ? 4 : 2;
    const at = layout.descsAt + (host.i32[layout.consumerAt]! & (layout.size - 1)) * words;
    host.i32[at + (pick % words)] = size > 5 ? -pick : pick * 4096;
    this.isHonest = false;
  }

  finish(): void {
    const { rings, socket, queue, umem } = this.rig;
    this.giveBack(1000, 0);
    rings.close();
    socket.close();
    for (const ref of this.driver.splice(0)) returnNetmem(this.rig.host, ref);
    expect(this.rig.device.pools[0]).toBe(null);
    expect(queue.buffs.outCount).toBe(0);
    rings.released();
    checkXskInvariants(umem, [rings]);
    expect([umem.census().user, umem.frames!.freeCount]).toEqual([FRAMES, FRAMES]);
    umem.dispose();
  }

  private take(pick: number): NetmemRef | undefined {
    return this.held.splice(pick % (this.held.length + 1), 1)[0];
  }

  private check(): void {
    const { rings, umem, queue } = this.rig;
    checkXskInvariants(umem, [rings], this.isHonest);
    const { user, fillPosted, txPosted, total } = umem.census();
    expect([total, user + fillPosted + txPosted]).toEqual([FRAMES, FRAMES]);
    expect(umem.frames!.freeCount + umem.frames!.outCount).toBe(FRAMES);
    // Every frame that is the user's is in the free list or in its hands.
    expect(umem.frames!.freeCount + this.held.length).toBe(user);
    if (!this.isHonest) return;
    const share = rings.census().fillPosted;
    // What the kernel has taken from the fill ring, seen or not, is free or out.
    expect(queue.buffs.freeCount + queue.buffs.outCount).toBeGreaterThanOrEqual(share.kernel);
    expect(queue.buffs.outCount).toBe(this.driver.length);
  }
}

const MODES: [string, SocketParams][] = [
  ["copy", { bind: { flags: BindFlag.Copy | BindFlag.UseSg } }],
  ["copy, 2 KiB", { umem: { chunkSizeBytes: 2048, ownBytes: FRAMES * 2048 }, bind: { flags: BindFlag.UseSg } }],
  [
    "copy, unaligned",
    { umem: { chunkSizeBytes: 3000, ownBytes: FRAMES * 3000, flags: UmemFlag.UnalignedChunk }, bind: { flags: 0 } },
  ],
  [
    "zero copy",
    { device: { zeroCopyMaxSegs: 8, mtuBytes: 9000 }, bind: { flags: BindFlag.ZeroCopy | BindFlag.UseSg } },
  ],
];

test.each(MODES)("whatever user, kernel and a liar do, every frame has one place: %s", (_name, params) => {
  const tally: Tally = { posted: 0, received: 0, sent: 0, refused: 0, completed: 0, held: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: "max" }), (steps) => {
      const pair = new Pair(params, tally);
      for (const one of steps) pair.run(one);
      pair.finish();
    }),
    { seed, numRuns: 60 },
  );
  console.log(JSON.stringify(tally));
  for (const [what, count] of Object.entries(tally)) expect([what, count > 0]).toEqual([what, true]);
});

test("takeFrames gives each frame once", () => {
  const { umem } = makeSocket();
  expect(new Set(takeFrames(umem, FRAMES)).size).toBe(FRAMES);
});

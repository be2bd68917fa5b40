import { createHost, DmaDir, ppRefCount } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { checkPoolInvariants, createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { addSkbFrag, allocSkb, consumeSkb, markForRecycle, SkbSlab, SkbView } from "@netmem/skb";
import { VirtualClock } from "@netmem/testing";
import { ZcrxRegistry, ZcrxUser } from "@netmem/zcrx";
import * as fc from "fast-check";
import { expect, test } from "vitest";

const PAGE = 4096;
const BUFFERS = 16;
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

/** Two pools, one after the other, on one area; a user that gives back what it has, twice, and what it never had. */
class Machine {
  private readonly clock = new VirtualClock();
  private readonly host = createHost({
    arenaBytes: 8 * 2 ** 20,
    clock: this.clock,
    pageAllocator: createPageAllocator,
  });
  private readonly slab = new SkbSlab(this.host, { skbCount: 64 });
  private readonly offset = this.host.offsetOf(this.host.pages.allocPages(4) as never);
  private readonly zcrx = new ZcrxRegistry(this.host).register({
    area: { offset: this.offset, bytes: BUFFERS * PAGE },
    refillEntries: 32,
    completionEntries: 16,
    packets: { view: new SkbView(this.slab), consume: (skb) => consumeSkb(this.slab, skb as never) },
  });
  private readonly user = new ZcrxUser(this.host, this.zcrx);
  private readonly pools: PagePool[] = [this.makePool()];
  /** Completions that the user has not given back: where, what must be there. */
  private readonly held: { readonly offset: number; readonly mark: number }[] = [];
  private readonly delivered: number[] = [];
  private nextMark = 1;

  /** A packet of `frags` buffers of the current pool. */
  receive(frags: number): void {
    const skb = allocSkb(this.slab, 64, 0);
    if (skb === 0) return;
    const marks: number[] = [];
    for (let n = 0; n < frags; n++) {
      const ref = this.pools.at(-1)!.allocNetmem();
      if (ref === 0) break;
      const mark = this.nextMark++ & 0xff;
      this.host.u8.fill(mark, this.host.offsetOf(ref as never), this.host.offsetOf(ref as never) + 64);
      addSkbFrag(this.slab, skb, ref, 0, 64, PAGE);
      marks.push(mark);
    }
    markForRecycle(this.slab, skb);
    if (this.zcrx.deliver(skb) === 0) this.delivered.push(...marks);
    else consumeSkb(this.slab, skb);
  }

  take(count: number): void {
    for (let n = 0; n < count && this.user.next(); n++) {
      this.held.push({ offset: this.user.offset, mark: this.delivered.shift()! });
    }
  }

  giveBack(count: number, isTwice: boolean): void {
    for (const { offset } of this.held.splice(0, count)) {
      if (!this.user.giveBack(offset, 64)) throw new Error("the refill ring is full");
      if (isTwice) this.user.giveBack(offset, 64);
    }
    this.user.flush();
    this.zcrx.flushRefill();
  }

  /** Gives back without anybody looking: the next refill of the pool does. */
  giveBackQuietly(): void {
    const last = this.held.pop();
    if (last === undefined) return;
    if (!this.user.giveBack(last.offset, 64)) this.held.push(last);
    this.user.flush();
  }

  /** Buffers that are not there; whatever else a user may write is in the package's own tests. */
  attack(word: number): void {
    this.user.giveBack((BUFFERS + (word & 1023)) * PAGE, 64);
    this.user.giveBack(word, 64);
    this.user.flush();
    this.zcrx.flushRefill();
  }

  restart(): void {
    this.pools.at(-1)!.destroy();
    this.pools.push(this.makePool());
    this.clock.advance(2000);
  }

  check(): void {
    for (const pool of this.pools) if (!pool.freed) checkPoolInvariants(pool);
    for (const { offset, mark } of this.held) {
      const at = this.offset + offset;
      expect(this.host.u8.subarray(at, at + 64).every((byte) => byte === mark)).toBe(true);
      expect(ppRefCount(this.host, this.zcrx.area.refAt(offset >>> 12))).toBeGreaterThan(0);
    }
    const inPools = this.pools.reduce((sum, pool) => sum + (pool.freed ? 0 : pool.inflight()), 0);
    expect(this.zcrx.stats().freeBuffers + inPools).toBe(BUFFERS);
  }

  async close(): Promise<void> {
    for (const pool of this.pools) if (!pool.freed) pool.destroy();
    this.zcrx.unregister();
    this.clock.advance(5000);
    await this.zcrx.freed();
    expect([this.host.areas.list().length, this.slab.liveCount]).toEqual([0, 0]);
  }

  private makePool(): PagePool {
    return createPagePool(this.host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: PAGE,
      dmaDir: DmaDir.FromDevice,
      directRecycle: "napi",
      rxq: { ifindex: 1, queueIdx: 0, provider: this.zcrx.provider },
    });
  }
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant("receive" as const), fc.integer({ min: 0, max: 3 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("take" as const), fc.nat({ max: 6 })) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("giveBack" as const), fc.nat({ max: 4 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("quietly" as const), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("attack" as const), fc.integer({ min: -(2 ** 31), max: -1 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("restart" as const), fc.constant(0)) },
);

test("what the user holds is never written, and every buffer is somewhere once", async () => {
  console.log(`zcrx: NETMEM_SEED=${seed}`);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 100 }), async (steps) => {
      const machine = new Machine();
      for (const [op, a] of steps) {
        if (op === "receive") machine.receive(a);
        else if (op === "take") machine.take(a);
        else if (op === "giveBack") machine.giveBack(a, (a & 1) === 1);
        else if (op === "quietly") machine.giveBackQuietly();
        else if (op === "attack") machine.attack(a);
        else machine.restart();
        machine.check();
      }
      await machine.close();
    }),
    { seed, numRuns: 60 },
  );
}, 60_000);

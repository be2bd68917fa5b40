import { createHost, type Host, MemType, type PageRef, XdpRxqInfo } from "@netmem/core";
import { createPageAllocator, createPageShared } from "@netmem/mm";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import { createReturns } from "@netmem/ring";
import { convertBuffToFrame, XdpBuff } from "@netmem/skb";
import { fillPattern, Prng, VirtualClock } from "@netmem/testing";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import type { BurstMessage, BurstReport } from "./frame-thread.ts";

const LINEAR_BYTES = 200;
const BURSTS = 300;
const MAX_BURST = 64;
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

/** Frames of two pools and plain pages, made on one thread. */
class Source {
  private readonly clock = new VirtualClock();
  readonly host: Host = createHost({
    arenaBytes: 64 * 2 ** 20,
    clock: this.clock,
    pageAllocator: createPageAllocator,
    returns: createReturns,
  });
  private readonly pools: readonly [PagePool, PagePool] = [createPagePool(this.host), createPagePool(this.host)];
  private readonly rxq = new XdpRxqInfo();
  private readonly prng = new Prng(seed);

  constructor() {
    createPageShared(this.host);
    this.host.mem.regRxqInfo(this.rxq, 1, 0, 0);
    this.host.mem.regMemModel(this.rxq, MemType.PagePool, this.pools[0]);
  }

  /** Frames, and the bytes that they have together. */
  makeBurst(): [frames: Int32Array<ArrayBuffer>, bytes: number] {
    let bytes = 0;
    const xdp = new XdpBuff(this.host, this.rxq, 4096);
    const frames = Int32Array.from({ length: 1 + this.prng.below(MAX_BURST) }, () => {
      const head = this.take();
      xdp.prepare(head, this.host.offsetOf(head), 256, LINEAR_BYTES);
      for (let n = this.prng.below(4); n > 0; n--) xdp.addFrag(this.take(), 0, 1 + this.prng.below(4000), 4096);
      const frame = convertBuffToFrame(xdp);
      fillPattern(this.host.u8, xdp.data, LINEAR_BYTES, frame & 0xff);
      bytes += xdp.len;
      return frame;
    });
    return [frames, bytes];
  }

  /** Destroys the pools and returns what they miss. */
  finish(): number[] {
    this.host.mem.unregRxqInfo(this.rxq);
    for (const pool of this.pools) pool.destroy();
    this.clock.advance(5000);
    return this.pools.map((pool) => pool.inflight());
  }

  private take(): PageRef {
    const kind = this.prng.below(3);
    const ref = kind === 2 ? this.host.pages.allocPages(0) : this.pools[kind as 0 | 1].allocPages();
    if (ref === 0) throw new Error("out of pages");
    return ref;
  }
}

test("frames cross threads as integers, and every buffer goes home from there", async () => {
  console.log(`frames between threads: NETMEM_SEED=${seed}`);
  const source = new Source();
  const { host } = source;
  const worker = new Worker(new URL("./frame-thread.ts", import.meta.url), { workerData: host.share() });
  const exit = once(worker, "exit");
  let clones = 0;
  for (let n = 0; n < BURSTS; n++) {
    const [frames, bytes] = source.makeBurst();
    const message: BurstMessage = { frames, linearBytes: LINEAR_BYTES };
    worker.postMessage(message);
    const [report] = (await once(worker, "message")) as [BurstReport];
    expect([report.wrong, report.bytes]).toEqual([0, bytes]);
    clones += report.clones;
    host.drainInbox();
  }
  worker.postMessage(null);
  expect(await exit).toEqual([0]);
  host.drainInbox();
  expect(clones).toBeGreaterThan(BURSTS);
  expect(source.finish()).toEqual([0, 0]);
  expect(host.pools.list()).toEqual([]);
  // As many as on a host whose pools never did anything, but for the rings of the returns. A leak would be one a burst.
  const idle = new Source();
  idle.finish();
  expect(idle.host.pages.freePageCount() - host.pages.freePageCount()).toBeLessThan(8);
});

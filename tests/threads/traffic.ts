/*
 * Traffic between the threads of one host: the main thread allocates from several pools and hands buffers out through
 * channels, workers return them in batches of any size, in any way, and hand out buffers of pools of their own, which the
 * main thread returns. Workers are killed now and then, in the middle of whatever they do, and reclaimed.
 */
import { asNetmemRef, type Host, type ReclaimReport, returnNetmem, returnNetmemBulk } from "@netmem/core";
import { ChannelReceiver, ChannelSender, createChannel, createReturnsWith } from "@netmem/ring";
import { Prng } from "@netmem/testing";
import { createHost, createPagePool, type NetmemWarning, type PagePool } from "netmem";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { CONTROL_WORDS, STOP, UNSENT_MAX, type WorkerInput } from "./traffic-input.ts";

export interface TrafficParams {
  /** Buffers to hand out. */
  readonly count: number;
  readonly workers: number;
  readonly seed: number;
  /** Slots of the rings by which buffers come home; a small one sends most by overflow lists. */
  readonly ringSize: number;
  /** Kill a worker each time so many buffers were handed out, 0 for never. */
  readonly killEvery: number;
  /** Split buffers between workers. What a dead one did with its share cannot be known, so not together with killing. */
  readonly fragments: boolean;
  /** Workers have pools of their own. */
  readonly supply: boolean;
}

export interface TrafficReport {
  readonly handedOut: number;
  readonly supplied: number;
  readonly delivered: number;
  readonly refused: number;
  /** Worst number of buffers outside at once. */
  readonly peak: number;
  readonly reclaims: readonly ReclaimReport[];
  readonly warnings: readonly NetmemWarning[];
  /** Buffers that did not come home, by pool. */
  readonly missing: readonly number[];
  /**
   * Buffers of pools of killed workers, by pool that was taken over: allocated and not yet sent, or taken out of the inbox
   * and not yet put away. Nobody can say where those are, so the pool stays listed with them.
   */
  readonly unsent: readonly number[];
}

const CHANNEL_SIZE = 512;
const MAX_BATCH = 64;
const HOME_TIMEOUT_MS = 10_000;
/** Hand-outs between turns of the event loop, where threads start and end. */
const TURN = 64;

interface Peer {
  readonly thread: Worker;
  readonly sender: ChannelSender;
  readonly supplyAt: number;
  readonly channelAt: number;
  readonly workerId: number;
}

/** One run; see {@link runTraffic}. */
class Traffic {
  private readonly params: TrafficParams;
  private readonly prng: Prng;
  private readonly host: Host;
  private readonly warnings: NetmemWarning[] = [];
  private readonly pools: readonly PagePool[];
  private readonly controlAt: number;
  private readonly peers: Peer[] = [];
  private readonly supplies: ChannelReceiver[] = [];
  private readonly reclaims: ReclaimReport[] = [];
  private readonly batch = new Int32Array(MAX_BATCH);
  private handedOut = 0;
  private supplied = 0;
  private peak = 0;
  private started = 0;

  constructor(params: TrafficParams) {
    this.params = params;
    this.prng = new Prng(params.seed);
    const { ringSize } = params;
    this.host = createHost({
      arenaBytes: 64 * 2 ** 20,
      returns: createReturnsWith({ ringSize }),
      onWarning: (warning) => this.warnings.push(warning),
    });
    this.pools = [
      createPagePool(this.host, { name: "ring of 64", poolSize: 64 }),
      createPagePool(this.host, { name: "ring of 1024" }),
      createPagePool(this.host, { name: "order 1", order: 1, poolSize: 256 }),
    ];
    this.controlAt = this.host.heap.allocWords(CONTROL_WORDS);
  }

  async run(): Promise<TrafficReport> {
    const { count, workers, killEvery } = this.params;
    for (let n = 0; n < workers; n++) this.peers.push(await this.startPeer());
    let nextKill = killEvery === 0 ? Infinity : killEvery;
    for (let turn = 0; this.handedOut < count; turn++) {
      this.handOut();
      this.takeSupply();
      if (turn % TURN === 0) await setImmediate();
      if (this.handedOut < nextKill) continue;
      nextKill += killEvery;
      await this.replace(this.prng.below(workers));
    }
    await this.stop();
    await this.comeHome();
    return this.report();
  }

  private async startPeer(old?: Peer): Promise<Peer> {
    const { host, params } = this;
    const channelAt = old?.channelAt ?? createChannel(host, CHANNEL_SIZE);
    const supplyAt = old?.supplyAt ?? (params.supply ? createChannel(host, CHANNEL_SIZE) : 0);
    if (old === undefined && supplyAt !== 0) this.supplies.push(new ChannelReceiver(host, supplyAt));
    const seed = params.seed + 1000 * ++this.started;
    const shared = host.share();
    const input: WorkerInput = {
      shared,
      channelAt,
      supplyAt,
      controlAt: this.controlAt,
      seed,
      ringSize: params.ringSize,
    };
    const thread = new Worker(new URL("./traffic-worker.ts", import.meta.url), { workerData: input });
    const [workerId] = (await once(thread, "message")) as [number];
    const sender = old?.sender ?? new ChannelSender(host, channelAt);
    return { thread, sender, supplyAt, channelAt, workerId };
  }

  private handOut(): void {
    const { batch, prng } = this;
    const pool = this.pools[prng.below(this.pools.length)]!;
    const count = pool.allocBulk(batch, prng.range(1, MAX_BATCH));
    if (count === 0) this.host.drainInbox();
    const isSplit = this.params.fragments && prng.bool(0.3);
    if (isSplit) for (let n = 0; n < count; n++) pool.fragmentNetmem(asNetmemRef(batch[n]!), 2);
    this.send(count);
    if (isSplit) this.send(count);
    const outside = this.pools.reduce((sum, one) => sum + one.inflight(), 0);
    if (outside > this.peak) this.peak = outside;
    if (prng.below(16) === 0) this.host.drainInbox();
  }

  /** What a channel does not take, its worker being busy, is returned here after a while. */
  private send(count: number): void {
    const { batch, host, prng } = this;
    const { sender } = this.peers[prng.below(this.peers.length)]!;
    let sent = sender.sendBatch(batch, 0, count);
    for (let tries = 0; sent < count && tries < 20; tries++) {
      host.drainInbox();
      Atomics.wait(host.i32, this.controlAt + STOP, 0, 0.05);
      sent += sender.sendBatch(batch, sent, count - sent);
    }
    this.handedOut += sent;
    for (let n = sent; n < count; n++) returnNetmem(this.host, asNetmemRef(batch[n]!));
  }

  private takeSupply(): void {
    const refs = new Int32Array(MAX_BATCH);
    for (const supply of this.supplies) {
      const count = supply.receive(refs, this.prng.range(1, MAX_BATCH));
      returnNetmemBulk(this.host, refs, count);
      this.supplied += count;
    }
  }

  private async replace(n: number): Promise<void> {
    const peer = this.peers[n]!;
    await peer.thread.terminate();
    this.reclaims.push(this.host.reclaim(peer.workerId));
    this.peers[n] = await this.startPeer(peer);
  }

  private async stop(): Promise<void> {
    const { host, controlAt } = this;
    Atomics.store(host.i32, controlAt + STOP, 1);
    Atomics.notify(host.i32, controlAt + STOP);
    const running = new Set(this.peers);
    for (const peer of running) peer.thread.once("exit", () => running.delete(peer));
    while (running.size > 0) {
      this.takeSupply();
      host.drainInbox();
      await setImmediate();
    }
  }

  private async comeHome(): Promise<void> {
    const until = performance.now() + HOME_TIMEOUT_MS;
    while (performance.now() < until) {
      this.takeSupply();
      this.host.drainInbox();
      const isHome = this.outside().every((count) => count === 0);
      if (isHome && this.unsent().every((count) => count > 0 && count <= UNSENT_MAX)) break;
      await setImmediate();
    }
  }

  private outside(): number[] {
    return this.pools.map((pool) => pool.outside(1024).length);
  }

  /** Of pools that were taken over and are still there. */
  private unsent(): number[] {
    const listed = this.host.pools.list() as PagePool[];
    return listed.filter((pool) => !this.pools.includes(pool)).map((pool) => pool.outside(1024).length);
  }

  private report(): TrafficReport {
    const { host } = this;
    const missing = this.outside();
    for (const pool of this.pools) pool.destroy();
    return {
      handedOut: this.handedOut,
      supplied: this.supplied,
      delivered: host.returnCounts.delivered,
      refused: host.returnCounts.refused,
      peak: this.peak,
      reclaims: this.reclaims,
      warnings: this.warnings,
      missing,
      unsent: this.unsent(),
    };
  }
}

/** Runs the traffic to its end, when everything should be at home. */
export function runTraffic(params: TrafficParams): Promise<TrafficReport> {
  return new Traffic(params).run();
}

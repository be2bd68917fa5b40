/*
 * A NIC whose queues are driven by workers, which drop, consume, send back and forward packets at random, to each other and
 * to workers without a queue. Workers are killed now and then, wherever they are, and replaced.
 */
import { type Host, MAX_WORKERS, THREAD_INBOX } from "@netmem/core";
import type { QueueStats } from "@netmem/netdev";
import { type LinkParams, type WorkerDeath, WorkerGroup } from "@netmem/netdev/workers";
import { SimNic, type SimNicStats } from "@netmem/sim-nic";
import { buildPacket, fillPattern, findPatternMismatch, ipv4Address, macAddress, Prng } from "@netmem/testing";
import { createHost } from "netmem";
import { setImmediate, setTimeout } from "node:timers/promises";
import {
  type ForwardData,
  type ForwardResult,
  MAX_FRAME_BYTES,
  NUMBER_AT,
  PATTERN_AT,
  readNumber,
  writeNumber,
} from "./forward-input.ts";

export interface ForwardParams {
  /** Packets that the NIC is to take. */
  readonly count: number;
  readonly queues: number;
  /** Workers without a queue, that every other one forwards to. */
  readonly cpus: number;
  readonly seed: number;
  /** Kill a worker each time the NIC took so many packets, 0 for never. */
  readonly killEvery: number;
}

export interface ForwardReport {
  readonly nic: SimNicStats;
  readonly stats: readonly QueueStats[];
  /** Packets that came out of the wire. */
  readonly sent: number;
  readonly results: readonly ForwardResult[];
  /** Packets with a wrong byte on the wire. */
  readonly wrong: number;
  /** Packets that ended twice. */
  readonly twice: number;
  readonly deaths: readonly WorkerDeath[];
  readonly warnings: readonly string[];
  readonly refused: number;
  /** Pages that are not free when everything was closed, and how many of those hold rings between threads, which stay. */
  readonly missingPages: number;
  readonly ringPages: number;
  /** Pools that still wait for a buffer. */
  readonly pools: number;
  readonly workers: number;
}

const BURST = 64;
const SLOT_BYTES = 9216;
const PORTS = 97;
/** Rounds of the hardware, a millisecond each, without anything to do before the traffic counts as over. */
const QUIET_ROUNDS = 50;
const CALM_TIMEOUT_MS = 20_000;
const HOME_TIMEOUT_MS = 5000;
/** Where an inbox names its rings; pages of a ring of 1024. */
const INBOX_RINGS = 16;
const RING_PAGES = 2;
const module = new URL("./forward-module.ts", import.meta.url);
const src = { ethernet: macAddress("02:00:00:00:00:01"), ip: ipv4Address("10.0.0.1") };
const dst = { ethernet: macAddress("02:00:00:00:00:02"), ip: ipv4Address("10.0.0.2") };

/** Frames in a row, for one burst of the wire. */
class Frames {
  readonly bytes = new Uint8Array(BURST * SLOT_BYTES);
  readonly offsets: Int32Array = Int32Array.from({ length: BURST }, (_, n) => n * SLOT_BYTES);
  readonly lengths = new Int32Array(BURST);
  private readonly prng: Prng;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  write(n: number, number: number): void {
    const { bytes, prng } = this;
    const at = n * SLOT_BYTES;
    const frameBytes = prng.below(20) === 0 ? prng.range(4000, MAX_FRAME_BYTES) : prng.range(64, 200);
    buildPacket(bytes, at, {
      ethernet: { srcMac: src.ethernet, dstMac: dst.ethernet },
      network: { kind: "ipv4", src: src.ip, dst: dst.ip },
      transport: { kind: "udp", srcPort: 1000 + prng.below(PORTS), dstPort: 9 },
      frameBytes,
    });
    writeNumber(bytes, at + NUMBER_AT, number);
    fillPattern(bytes, at + PATTERN_AT, frameBytes - PATTERN_AT, number);
    this.lengths[n] = frameBytes;
  }
}

/** One run; see {@link runForward}. */
class Forward {
  private readonly params: ForwardParams;
  private readonly prng: Prng;
  private readonly warnings: string[] = [];
  private readonly host;
  private readonly freePages: number;
  private readonly nic: SimNic;
  private readonly group: WorkerGroup;
  private readonly endings: Int32Array;
  private sent = 0;
  private wrong = 0;

  constructor(params: ForwardParams) {
    const { queues, seed } = params;
    this.params = params;
    this.prng = new Prng(seed);
    this.host = createHost({
      arenaBytes: 128 * 2 ** 20,
      onWarning: ({ code, message }) => this.warnings.push(`${code}: ${message}`),
    });
    this.freePages = this.host.pages.freePageCount();
    this.nic = new SimNic(this.host, { queueCount: queues, rxDescCount: 512, txDescCount: 512 });
    this.nic.setWire((bytes, offsets, lengths, count) => this.checkSent(bytes, offsets, lengths, count));
    this.endings = new Int32Array(new SharedArrayBuffer(4 * (params.count + BURST)));
    this.group = this.makeGroup();
  }

  async run(): Promise<ForwardReport> {
    const { group, nic } = this;
    await group.start();
    await this.send();
    await group.settled();
    await this.calmDown();
    const results = (await group.stopAll()) as Map<string, ForwardResult>;
    const stats = group.names.map((name) => group.getStats(name));
    const taken = nic.getStats();
    await group.close();
    nic.dispose();
    await this.comeHome();
    return this.report(taken, stats, [...results.values()]);
  }

  private makeGroup(): WorkerGroup {
    const { queues, cpus, seed } = this.params;
    const withQueue = Array.from({ length: queues }, (_, n) => `queue ${n}`);
    const all = [...withQueue, ...Array.from({ length: cpus }, (_, n) => `cpu ${n}`)];
    const links: LinkParams[] = withQueue.flatMap((from) =>
      all.filter((to) => to !== from).map((to) => ({ from, to, size: 256 })),
    );
    const endings = this.endings.buffer as SharedArrayBuffer;
    const workers = all.map((name, n) => {
      const isCpu = n >= queues;
      const peers = isCpu ? [] : all.filter((one) => one !== name);
      const data: ForwardData = { peers, isCpu, seed: seed + n, endings };
      const worker = { name, module, data, queueIdx: n };
      return isCpu ? worker : Object.assign(worker, { hardware: this.nic.shareQueue(n) });
    });
    return new WorkerGroup({ host: this.host, workers, links });
  }

  private async send(): Promise<void> {
    const { nic, prng, params, group } = this;
    const frames = new Frames(prng);
    let nextKill = params.killEvery === 0 ? Infinity : params.killEvery;
    let number = 0;
    while (number < params.count) {
      const burst = prng.range(1, BURST);
      const before = number;
      nic.service();
      for (let n = 0; n < burst; n++) {
        frames.write(0, number);
        if (nic.receive(frames.bytes, 0, frames.lengths[0]!)) number++;
      }
      nic.service();
      if (number - before < burst) await setTimeout(1);
      else if (prng.below(4) === 0) await setImmediate();
      if (number < nextKill) continue;
      nextKill += params.killEvery;
      const killed = group.terminate(group.names[prng.below(group.names.length)]!);
      // The others go on for a while, and the wire does.
      if (prng.bool(0.5)) await killed;
      else await Promise.all([killed, this.sendMeanwhile(frames)]);
    }
  }

  /** Waits until every packet has come to an end; where workers died with packets, until nothing moves any more. */
  private async calmDown(): Promise<void> {
    const { nic, group, endings } = this;
    const until = performance.now() + CALM_TIMEOUT_MS;
    let quiet = 0;
    let open = nic.getStats().rxPackets;
    while (open > 0 && performance.now() < until && (group.deaths.length === 0 || quiet < QUIET_ROUNDS)) {
      await setTimeout(1);
      quiet = nic.service() ? 0 : quiet + 1;
      const stats = group.names.map((name) => group.getStats(name));
      const dropped = stats.reduce((sum, one) => sum + one.xdpDrop + one.xmitErrors + one.frameErrors, 0);
      open = nic.getStats().rxPackets - dropped - endings.reduce((sum, times) => sum + times, 0);
    }
  }

  private async sendMeanwhile(frames: Frames): Promise<void> {
    for (let n = 0; n < 20; n++) {
      this.nic.receiveBurst(frames.bytes, frames.offsets, frames.lengths, 0);
      await setImmediate();
    }
  }

  private checkSent(bytes: Uint8Array, offsets: Int32Array, lengths: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const at = offsets[n]!;
      const number = readNumber(bytes, at + NUMBER_AT);
      if (findPatternMismatch(bytes, at + PATTERN_AT, lengths[n]! - PATTERN_AT, number) !== -1) this.wrong++;
      Atomics.add(this.endings, number, 1);
      this.sent++;
    }
  }

  /** Pools of dead workers live here now, until their last buffer is home. */
  private async comeHome(): Promise<void> {
    const until = performance.now() + HOME_TIMEOUT_MS;
    while (this.host.pools.list().length > 0 && performance.now() < until) {
      this.host.drainInbox();
      await setImmediate();
    }
  }

  private report(nic: SimNicStats, stats: readonly QueueStats[], results: readonly ForwardResult[]): ForwardReport {
    const { host, group } = this;
    return {
      nic,
      stats,
      results,
      sent: this.sent,
      wrong: this.wrong,
      twice: this.endings.reduce((sum, times) => (times > 1 ? sum + 1 : sum), 0),
      deaths: group.deaths,
      warnings: [...this.warnings, ...results.flatMap((one) => one.warnings)],
      refused: results.reduce((sum, one) => sum + one.refused, host.returnCounts.refused),
      missingPages: this.freePages - host.pages.freePageCount(),
      ringPages: ringCount(host) * RING_PAGES,
      pools: host.pools.list().length,
      workers: host.workers.list().length,
    };
  }
}

/** Rings that threads made to return buffers to each other: one for each pair that ever did. */
function ringCount({ i32, workers }: Host): number {
  let count = 0;
  for (let to = 0; to < MAX_WORKERS; to++) {
    for (let from = 0; from < MAX_WORKERS; from++) {
      if (i32[workers.recordAt(to) + THREAD_INBOX + INBOX_RINGS + from] !== 0) count++;
    }
  }
  return count;
}

/** Runs the traffic to its end, when everything should be at home. */
export function runForward(params: ForwardParams): Promise<ForwardReport> {
  return new Forward(params).run();
}

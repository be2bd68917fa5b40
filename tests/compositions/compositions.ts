/*
 * Packets over every composition of a receive queue that there is, on one device, while everything about the queues is
 * changed under them: restarts, providers opened, swapped and closed, applications that go with what they hold. Each packet is
 * held, cloned, copied, forwarded or dropped, and its bytes are looked at when the last use of it is over. A run is a
 * number of rounds, each with a host of its own, which must be as empty at the end as it was at the beginning.
 */
import { crc32 } from "node:zlib";
import { type QueueStats, XdpVerdict } from "@netmem/netdev";
import { checkPoolInvariants, PagePool } from "@netmem/page-pool";
import { asSkbRef } from "@netmem/skb";
import { type ChangeCounts, Changes } from "./changes.ts";
import { FrameSource, seqOf, wishOf } from "./frame-source.ts";
import { type LedgerCounts, Wish } from "./ledger.ts";
import { checkHome } from "./home.ts";
import { Stack } from "./stack.ts";
import { DMA_KINDS, makeWorld, type World } from "./world.ts";

const ROUND_PACKETS = 100_000;
const MAX_BURST = 96;
/** More than the rings take, now and then. */
const FLOOD = 1000;
const CHECK_EVERY = 200;

export interface CompositionsParams {
  readonly packets: number;
  readonly seed: number;
  /** Packets of one host. Default 100,000. */
  readonly roundPackets?: number;
  /** Called after each round. */
  readonly onRound?: (report: CompositionsReport) => void;
}

export interface CompositionsReport extends LedgerCounts {
  rounds: number;
  /** Packets that the hardware had no buffers for. */
  noBuffers: number;
  /** Frames that no wire took. */
  refused: number;
  zcrx: number;
  devmem: number;
  threadDeaths: number;
  /** Packets by queue. */
  readonly byQueue: number[];
  readonly changes: ChangeCounts;
}

/** One host with its devices, from making it to its end. */
class Round {
  readonly world: World;
  readonly changes: Changes;
  readonly stack: Stack;
  noBuffers = 0;
  /** Of the device's queues, taken before they are gone. */
  stats: readonly QueueStats[] = [];
  private readonly source: FrameSource;
  private judged = 0;
  private bursts = 0;

  /** The seed decides everything, so that a round can be had again alone. */
  constructor(seed: number) {
    this.world = makeWorld(DMA_KINDS[seed % DMA_KINDS.length]!, seed);
    // Buffers of half of the hosts visit another thread, which makes all counts atomic.
    this.changes = new Changes(this.world, (seed >> 2) % 2 === 1);
    this.stack = new Stack(this.world);
    this.source = new FrameSource(this.world.prng);
    this.connect();
  }

  async run(packets: number): Promise<void> {
    const { world, changes } = this;
    while (world.ledger.counts.sent < packets) {
      this.inject();
      if (world.prng.below(4) > 0) world.scheduler.runUntilIdle();
      await this.use();
      if (world.prng.below(3) === 0) changes.make();
      if (++this.bursts % CHECK_EVERY === 0) this.checkPools();
    }
    await this.finish();
  }

  private connect(): void {
    const { world } = this;
    const { device, other, nic, otherNic } = world;
    device.setProgram((xdp) => this.judge(xdp));
    device.setReceiver((skbs, count) => {
      for (let n = 0; n < count; n++) this.receive(skbs[n]!);
    });
    const wire = (bytes: Uint8Array, offsets: Int32Array, lengths: Int32Array, count: number): void => {
      for (let n = 0; n < count; n++) this.leave(bytes.subarray(offsets[n], offsets[n]! + lengths[n]!));
    };
    nic.setWire(wire);
    otherNic.setWire(wire);
    device.open();
    other.open();
  }

  private inject(): void {
    const { source, world } = this;
    const { ledger, nic } = world;
    const burst = world.prng.below(200) === 0 ? FLOOD : world.prng.below(MAX_BURST);
    for (let n = burst; n > 0; n--) {
      const seq = ledger.next();
      source.make(seq);
      if (nic.receive(source.bytes, source.at, source.len)) ledger.open(seq, source.bytes, source.at, source.len);
      else this.noBuffers++;
    }
  }

  private judge(xdp: { readonly data: number; redirectIfindex: number }): number {
    const { host, ledger, other } = this.world;
    const wish = wishOf(host.u8, xdp.data);
    this.judged++;
    if (wish < Wish.Drop) return XdpVerdict.Pass;
    const seq = seqOf(host.u8, xdp.data);
    if (wish === Wish.Transmit || wish === Wish.Redirect) {
      ledger.send(seq);
      xdp.redirectIfindex = other.ifindex;
      return wish === Wish.Transmit ? XdpVerdict.Tx : XdpVerdict.Redirect;
    }
    ledger.drop(seq);
    return wish === Wish.Drop ? XdpVerdict.Drop : XdpVerdict.Aborted;
  }

  private receive(skb: number): void {
    const { changes, stack, world } = this;
    const ref = asSkbRef(skb);
    if (world.bytes.view.of(ref).unreadable) {
      const copy = changes.devmem.take(ref);
      if (copy !== 0) stack.hold(copy);
    } else if (!changes.zcrx.take(ref) && !changes.zcrxSplit.take(ref)) stack.take(ref);
  }

  private leave(frame: Uint8Array): void {
    this.world.ledger.wire(seqOf(frame, 0), crc32(frame), frame.length);
  }

  /** Everybody does something with what they have. */
  private async use(): Promise<void> {
    const { changes, stack, world } = this;
    const { prng } = world;
    await changes.devmem.read();
    stack.release(prng.below(40));
    changes.zcrx.release(prng.below(12));
    changes.zcrxSplit.release(prng.below(12));
    await changes.devmem.release(prng.below(12));
    changes.zcrx.collect();
    changes.zcrxSplit.collect();
    changes.devmem.collect();
  }

  private checkPools(): void {
    this.world.host.drainInbox();
    for (const pool of this.world.host.pools.list()) if (pool instanceof PagePool) checkPoolInvariants(pool);
  }

  /** Ends everything and looks whether something is left. */
  private async finish(): Promise<void> {
    const { changes, stack, world } = this;
    const { ledger, scheduler, nic, otherNic } = world;
    nic.pauseTx(false);
    otherNic.pauseTx(false);
    scheduler.runUntilIdle();
    await changes.devmem.read();
    // All that the hardware took came by the program.
    if (this.judged !== ledger.counts.sent) throw new Error(`${ledger.counts.sent} packets, ${this.judged} came by`);
    // Providers go while packets are outside, and the devices before the last of them is home.
    if (world.prng.bool(0.5)) stack.release(stack.heldCount);
    changes.finish();
    world.device.close();
    world.other.close();
    stack.release(stack.heldCount);
    this.stats = world.device.getStats();
    checkHome(world, changes);
  }
}

function add(report: CompositionsReport, { world, changes, noBuffers, stats }: Round): void {
  report.rounds++;
  for (const [name, count] of Object.entries(world.ledger.counts)) report[name as keyof LedgerCounts] += count;
  report.noBuffers += noBuffers;
  report.zcrx += changes.zcrx.delivered + changes.zcrxSplit.delivered;
  report.devmem += changes.devmem.delivered;
  report.threadDeaths += changes.visitor?.deaths ?? 0;
  for (const [name, count] of Object.entries(changes.counts)) {
    report.changes[name] = (report.changes[name] ?? 0) + count;
  }
  for (const [n, { rxPackets, xmitErrors }] of stats.entries()) {
    report.byQueue[n] = (report.byQueue[n] ?? 0) + rxPackets;
    report.refused += xmitErrors;
  }
}

async function runRound(seed: number, packets: number): Promise<Round> {
  try {
    const round = new Round(seed);
    await round.run(packets);
    return round;
  } catch (cause) {
    throw new Error(`to have it again: node tests/compositions/main.ts --seed ${seed} --packets ${packets}`, { cause });
  }
}

/** Runs rounds until so many packets went through; throws what is wrong. The same seed does the same. */
export async function runCompositions(params: CompositionsParams): Promise<CompositionsReport> {
  const report: CompositionsReport = {
    rounds: 0,
    sent: 0,
    verified: 0,
    wired: 0,
    dropped: 0,
    noBuffers: 0,
    refused: 0,
    zcrx: 0,
    devmem: 0,
    threadDeaths: 0,
    byQueue: [],
    changes: {},
  };
  while (report.sent < params.packets) {
    const seed = (params.seed + report.rounds) & 0x7fffffff;
    const packets = Math.min(params.roundPackets ?? ROUND_PACKETS, params.packets - report.sent);
    add(report, await runRound(seed, packets));
    params.onRound?.(report);
  }
  return report;
}

import { attachHost, type Host, type NetmemRef, returnNetmemBulk } from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import type { PagePool } from "@netmem/page-pool";
import { ChannelReceiver, ChannelSender, createChannel, createReturns, freeChannel } from "@netmem/ring";
import type { World } from "./world.ts";

const CHANNEL_SIZE = 64;
const MAX_BATCH = 16;

/**
 * Another thread that gets buffers of the queues' pools, whatever is behind them, and returns them or dies with them. This
 * thread plays it, so that a seed repeats everything.
 */
export class Visitor {
  /** Times that it died. */
  deaths = 0;
  /** Buffers that it had then, or that were on their way to it. */
  inherited = 0;
  private readonly world: World;
  private readonly channelAt: number;
  private readonly sender: ChannelSender;
  private readonly batch = new Int32Array(MAX_BATCH);
  private readonly bag = new Int32Array(CHANNEL_SIZE);
  private bagCount = 0;
  private thread: Host;
  private receiver: ChannelReceiver;

  constructor(world: World) {
    this.world = world;
    this.channelAt = createChannel(world.host, CHANNEL_SIZE);
    this.sender = new ChannelSender(world.host, this.channelAt);
    this.thread = this.attach();
    this.receiver = new ChannelReceiver(this.thread, this.channelAt);
  }

  /** Buffers of any live pool go over, marked where they can be. */
  hand(): void {
    const { host, prng } = this.world;
    const pools = host.pools.list().filter((pool) => pool.describe().detachTime === undefined) as PagePool[];
    if (pools.length === 0) return;
    const pool = prng.pick(pools);
    const count = pool.allocBulk(this.batch, prng.range(1, MAX_BATCH));
    for (let n = 0; n < count; n++) this.mark(this.batch[n]! as NetmemRef);
    const sent = this.sender.sendBatch(this.batch, 0, count);
    for (let n = sent; n < count; n++) pool.putFullPage(this.batch[n]! as NetmemRef);
  }

  /** It receives, looks at the marks, and returns some of what it has. */
  work(): void {
    const { prng } = this.world;
    const into = this.bag.subarray(this.bagCount);
    const count = this.receiver.receive(into, prng.range(1, CHANNEL_SIZE));
    this.bagCount += count;
    for (let n = 0; n < this.bagCount; n++) this.check(this.bag[n]! as NetmemRef);
    const keep = prng.below(this.bagCount + 1);
    returnNetmemBulk(this.thread, this.bag.subarray(keep), this.bagCount - keep);
    this.bagCount = keep;
  }

  /** It ends in the middle of that; the next one takes its place. */
  die(): void {
    const { held } = this.world.host.reclaim(this.thread.workerId);
    if (held.doubtful.length > 0) throw new Error(`${held.doubtful.length} buffers are in doubt`);
    this.deaths++;
    this.inherited += held.taken + held.queued;
    this.bagCount = 0;
    this.thread = this.attach();
    this.receiver = new ChannelReceiver(this.thread, this.channelAt);
  }

  /** Returns everything and leaves. */
  leave(): void {
    this.sender.close();
    do returnNetmemBulk(this.thread, this.bag, this.bagCount);
    while ((this.bagCount = this.receiver.receive(this.bag, CHANNEL_SIZE)) > 0);
    this.receiver.close();
    this.thread.detach();
    freeChannel(this.world.host, this.channelAt);
  }

  private attach(): Host {
    const { host, clock } = this.world;
    return attachHost(host.share(), {
      clock,
      name: "visitor",
      pageAllocator: attachPageAllocator,
      returns: createReturns,
    });
  }

  private mark(ref: NetmemRef): void {
    const { host } = this.world;
    if (host.isReadable(ref)) host.i32[host.offsetOf(ref) >>> 2] = ref;
  }

  private check(ref: NetmemRef): void {
    const { host } = this.world;
    if (!host.isReadable(ref) || host.i32[host.offsetOf(ref) >>> 2] === ref) return;
    throw new Error(`somebody wrote into buffer 0x${ref.toString(16)}, which another thread has`);
  }
}

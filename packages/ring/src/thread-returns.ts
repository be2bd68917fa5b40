/*
 * data path
 *
 * Buffers between the threads of a host: what this thread returns to owners on others, and what others return here.
 * Every thread has one inbox, in its record in the arena, whatever the number of its owners.
 */
import {
  COMMON_CHANNELS,
  deliverReturns as deliverReturns_,
  GEN_SHIFT as GEN_SHIFT_,
  type HeldBuffers,
  type Host,
  IDX_MASK as IDX_MASK_,
  MAX_WORKERS,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT as META_OWNER_SHIFT_,
  META_RETURNING,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  OWN_THREAD as OWN_THREAD_,
  OWNER_WORDS as OWNER_WORDS_,
  type RemoteReturns,
  THREAD_INBOX,
  THREAD_INTENT,
  THREAD_WORDS,
} from "@netmem/core";
import { ChannelStamps } from "./channel-stamps.ts";
import { takeBackChannels } from "./channel-reclaim.ts";
import { InboxProducer } from "./inbox-producer.ts";
import { endSleep, OVERFLOWS, ringDoorbell, ringOf, SLEEPING } from "./inbox-words.ts";
import { Inbox } from "./inbox.ts";
import { publishPushed } from "./spsc-ring-words.ts";
import { checkRingSize } from "./spsc-ring.ts";

const deliverReturns = deliverReturns_;
const IDX_MASK = IDX_MASK_;
const GEN_SHIFT = GEN_SHIFT_;
const OWNER_SHIFT = META_OWNER_SHIFT_;
const OWNER_WORDS = OWNER_WORDS_;
const THREAD = OWN_THREAD_;
const OUT = META_OUT;
const OUT_TO_RETURNING = META_OUT ^ META_RETURNING;
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;
const PLAIN_MASK = META_STATE_MASK | META_GEN_MASK | META_SHARED;

const BATCH = 64;
/** Entries per {@link ThreadReturns.drain}, so that returners who never stop do not keep an owner for ever. */
const DRAIN_MAX = 16384;

export interface ReturnsParams {
  /** Slots of the ring between two threads, a power of two. 8 KiB at the default of 1024. */
  readonly ringSize?: number;
}

/** Made by {@link createReturns}. One per host and thread. */
export class ThreadReturns implements RemoteReturns {
  declare private readonly i32: Int32Array;
  declare private readonly ownersAt: number;
  declare private readonly channelsAt: number;
  declare private readonly self: number;
  declare private readonly intentAt: number;
  /** Threads with something pushed and not published, a bit each. */
  declare private dirty: number;
  /** Ends into the inboxes of others, by worker id; made when first needed. */
  declare private readonly producers: (InboxProducer | null)[];
  declare private readonly stamps: ChannelStamps;
  declare private readonly host: Host;
  declare private readonly inbox: Inbox;
  /** Of this thread, then of those that it took over from. */
  declare private inboxes: readonly { readonly worker: number; readonly inbox: Inbox }[];
  declare private readonly scratch: Int32Array;
  declare private isDraining: boolean;
  declare private readonly params: ReturnsParams;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a ring size that is no power of two up to 2^20. */
  constructor(host: Host, params: ReturnsParams = {}) {
    // Here, because rings are made in the middle of returns.
    if (params.ringSize !== undefined) checkRingSize("ringSize", params.ringSize);
    this.i32 = host.i32;
    this.ownersAt = host.layout.ownersAt;
    this.channelsAt = host.layout.commonAt + COMMON_CHANNELS;
    this.self = host.workerId;
    this.intentAt = inboxAt(host, host.workerId) - THREAD_INBOX + THREAD_INTENT;
    this.dirty = 0;
    this.producers = Array.from({ length: MAX_WORKERS }, () => null);
    this.stamps = new ChannelStamps(host);
    this.host = host;
    this.inbox = new Inbox(host.i32, inboxAt(host, host.workerId), host.linkAt);
    this.inboxes = [{ worker: host.workerId, inbox: this.inbox }];
    this.scratch = new Int32Array(BATCH);
    this.isDraining = false;
    this.params = params;
  }

  get sleepingAt(): number {
    return this.inbox.sleepingAt;
  }

  /** Entries that went by overflow lists, of all that this thread returned. Control path. */
  get overflowCount(): number {
    return this.producers.reduce((sum, one) => sum + (one?.overflowCount ?? 0), 0);
  }

  takeRun(refs: Int32Array, from: number, end: number): number {
    let n = from;
    while (n < end) {
      const taken = this.takeForThread(refs, n, end);
      if (taken === 0) break;
      n += taken;
    }
    return n - from;
  }

  push(ref: NetmemRef, threadId: number): void {
    const producer = this.open(threadId);
    if (!producer.pushToRing(ref)) return this.pushClaimed(producer, ref);
    producer.note();
    if (this.i32[this.channelsAt] !== 0) this.stamps.clear(ref);
  }

  flush(): void {
    while (this.dirty !== 0) {
      const worker = 31 - Math.clz32(this.dirty);
      this.dirty ^= 1 << worker;
      const producer = this.producers[worker]!;
      if (producer.publish()) this.wake(worker);
    }
  }

  drain(): number {
    if (this.isDraining) return 0;
    this.isDraining = true;
    let total = 0;
    try {
      for (let n = 0; n < this.inboxes.length; n++) total += this.empty(this.inboxes[n]!.inbox);
    } finally {
      this.isDraining = false;
    }
    return total;
  }

  hasWork(): boolean {
    for (let n = 0; n < this.inboxes.length; n++) if (this.inboxes[n]!.inbox.hasWork()) return true;
    return false;
  }

  prepareSleep(): boolean {
    // Its own first: whoever rings at one of the others finds that this thread sleeps.
    for (let n = 0; n < this.inboxes.length; n++) {
      if (this.inboxes[n]!.inbox.prepareSleep()) continue;
      this.cancelSleep();
      return false;
    }
    return true;
  }

  cancelSleep(): void {
    for (let n = 0; n < this.inboxes.length; n++) this.inboxes[n]!.inbox.cancelSleep();
  }

  /** Control path. */
  finish(workerId: number): number {
    const { host, i32 } = this;
    let total = 0;
    for (const { workerId: to } of host.workers.list()) {
      const at = inboxAt(host, to);
      const ring = ringOf(i32, at, workerId);
      // What it pushed last may bear its stamp still, and must not be found by that as well.
      if (ring !== 0) total += publishPushed(i32, ring, (ref) => this.stamps.clear(ref));
      // It may have died after it published: then nobody knows of it yet. Or after it rang: then nobody was woken.
      ringDoorbell(i32, at, 1 << workerId);
      this.wake(to);
    }
    return total;
  }

  /** Control path. */
  adopt(workerId: number): void {
    if (this.inboxes.some(({ worker }) => worker === workerId)) return;
    const inbox = new Inbox(this.i32, inboxAt(this.host, workerId), this.host.linkAt);
    this.inboxes = [...this.inboxes, { worker: workerId, inbox }];
  }

  /** Control path. */
  disown(workerId: number): void {
    this.inboxes = this.inboxes.filter(({ worker }) => worker !== workerId);
  }

  /** Control path. */
  takeBack(workerId: number): HeldBuffers {
    const queued = takeBackChannels(this.host, workerId);
    const { taken, doubtful } = this.stamps.takeBack(workerId);
    return { queued, taken: taken + this.takeIntent(workerId), doubtful };
  }

  /**
   * Control path: what the worker had claimed for an overflow list. If its owner has taken the list in this very moment, it
   * sees the buffer twice and refuses the second.
   */
  private takeIntent(workerId: number): number {
    const { host, i32 } = this;
    const at = inboxAt(host, workerId) - THREAD_INBOX + THREAD_INTENT;
    const ref = i32[at]! as NetmemRef;
    i32[at] = 0;
    const meta = i32[(ref >>> 1) & IDX_MASK]!;
    if (ref === 0 || (meta & LIVE_MASK) !== (META_RETURNING | (ref >>> GEN_SHIFT))) return 0;
    const threadId = host.owners.threadOf(meta >>> OWNER_SHIFT);
    if (threadId >= 0 && i32[inboxAt(host, threadId) + OVERFLOWS + workerId] === ref) return 0;
    if (host.owners.get(meta >>> OWNER_SHIFT) !== null) deliverReturns(host, Int32Array.of(ref), 1, workerId);
    else if (threadId < 0 || !this.open(threadId).pushToRing(ref)) return 0;
    this.flush();
    return 1;
  }

  /** Wakes whoever looks after a thread's inbox: itself, or the one that took over and sleeps at its own. */
  private wake(worker: number): void {
    const { host, i32 } = this;
    const at = inboxAt(host, host.workers.holderOf(worker));
    endSleep(i32, at);
    Atomics.notify(i32, at + SLEEPING);
  }

  private empty(inbox: Inbox): number {
    const { host, scratch } = this;
    let total = 0;
    while (total < DRAIN_MAX) {
      const taken = inbox.take(scratch, 0, BATCH);
      if (taken === 0) break;
      deliverReturns(host, scratch, taken, inbox.from);
      total += taken;
    }
    return total;
  }

  /** {@link takeRun} as long as it is for one thread: a look at each, then all in one piece. */
  private takeForThread(refs: Int32Array, from: number, end: number): number {
    const i32 = this.i32;
    let ownerId = -1;
    let threadId = -1;
    let n = from;
    for (; n < end; n++) {
      const ref = refs[n]!;
      const meta = i32[(ref >>> 1) & IDX_MASK]!;
      if ((meta & PLAIN_MASK) !== (OUT | (ref >> GEN_SHIFT))) break;
      if (meta >>> OWNER_SHIFT === ownerId) continue;
      const next = this.awayThread(meta >>> OWNER_SHIFT);
      if (next < 0 || (next !== threadId && threadId >= 0)) break;
      ownerId = meta >>> OWNER_SHIFT;
      threadId = next;
    }
    if (n > from) this.pushRun(refs, from, n, this.open(threadId));
    return n - from;
  }

  private pushRun(refs: Int32Array, from: number, end: number, producer: InboxProducer): void {
    const listFrom = from + producer.pushBatchToRing(refs, from, end - from);
    producer.note();
    // Stamps are there only where there are channels. What goes on the list loses its stamp by that, and is its owner's.
    if (this.i32[this.channelsAt] !== 0) for (let n = from; n < listFrom; n++) this.stamps.clear(refs[n]!);
    for (let n = listFrom; n < end; n++) this.pushClaimed(producer, refs[n]!);
  }

  /** Worker id of an owner's thread, -1 when that is this thread, or nobody. */
  private awayThread(ownerId: number): number {
    const threadId = this.i32[this.ownersAt + ownerId * OWNER_WORDS + THREAD]! - 1;
    return threadId < 0 || this.host.owners.get(ownerId) !== null ? -1 : threadId;
  }

  private open(threadId: number): InboxProducer {
    this.dirty |= 1 << threadId;
    return this.producers[threadId] ?? this.openFirst(threadId);
  }

  /** Control path: the first return to a thread makes the ring to it. */
  private openFirst(threadId: number): InboxProducer {
    const { host, params } = this;
    const producer = new InboxProducer(host, inboxAt(host, threadId), this.self, host.linkAt, params);
    this.producers[threadId] = producer;
    return producer;
  }

  /**
   * The ring is full. An overflow list runs through the descriptors, so of two returns of one buffer, which is a mistake, by
   * two threads or in one batch, only one may put it on a list: the one that finds it out and whose compareExchange
   * succeeds. The other entry is dropped.
   */
  private pushClaimed(producer: InboxProducer, ref: number): void {
    const { i32, intentAt } = this;
    const idx = (ref >>> 1) & IDX_MASK;
    const meta = i32[idx]!;
    const isOut = (meta & LIVE_MASK) === (OUT | (ref >>> GEN_SHIFT));
    // In case this thread dies before the reference is on the list, which no look at the list can tell.
    i32[intentAt] = ref;
    if (isOut && Atomics.compareExchange(i32, idx, meta, meta ^ OUT_TO_RETURNING) === meta) producer.pushToList(ref);
    else this.warnTwice(ref);
    i32[intentAt] = 0;
  }

  /** Control path. */
  private warnTwice(ref: number): void {
    this.host.warn("WARN_NETMEM_RETURN_REFUSED", `ref 0x${ref.toString(16)} was returned twice`);
  }
}

function inboxAt(host: Host, workerId: number): number {
  return host.layout.threadsAt + workerId * THREAD_WORDS + THREAD_INBOX;
}

/** Returns between threads, for `createHost({ returns: createReturns })` and the same of `attachHost`. */
export function createReturns(host: Host): ThreadReturns {
  return new ThreadReturns(host);
}

/** As {@link createReturns}, with parameters. */
export function createReturnsWith(params: ReturnsParams): (host: Host) => ThreadReturns {
  return (host) => new ThreadReturns(host, params);
}

/*
 * data path
 *
 * Frames that end one by one, e.g. as TX completions, and go home in batches (kernel: `xdp_frame_bulk`). What waits is
 * the buffers, so a batch may end in the middle of a frame. Forgetting the last flush would leak up to 16 buffers:
 * nothing can wait outside a scope, and the end of a scope flushes.
 */
import { type Host, NetmemError, type NetmemRef, returnNetmem, returnNetmemBulk } from "@netmem/core";
import { FRAME_REF as FRAME_REF_, type FrameRef } from "./frame-record.ts";
import { FRAG_REF as FRAG_REF_, fragAt as fragAt_, SHINFO_NR_FRAGS } from "./shared-info.ts";
import { frameHasFrags as frameHasFrags_, liveSharedInfoAt as liveSharedInfoAt_ } from "./xdp-frame.ts";

/** Buffers that wait at most (kernel: `XDP_BULK_QUEUE_SIZE`). */
export const FRAME_BULK_SIZE = 16;

const SIZE = FRAME_BULK_SIZE;
const FRAME_REF = FRAME_REF_;
const FRAG_REF = FRAG_REF_;
const NR_FRAGS = SHINFO_NR_FRAGS;
const fragAt = fragAt_;
const frameHasFrags = frameHasFrags_;
const liveSharedInfoAt = liveSharedInfoAt_;

/**
 * Collects returned frames. One per place where frames end, reused; one scope at a time:
 *
 * ```ts
 * using scope = bulk.begin(); // or bulk.begin() ... finally bulk.end()
 * for (...) scope.add(frame);
 * ```
 */
export class FrameBulk {
  declare private readonly host: Host;
  declare private readonly refs: Int32Array;
  declare private queued: number;
  declare private isOpen: boolean;
  /** First error of a batch, until every buffer of the call is where it belongs. */
  declare private failure: NetmemError | null;

  constructor(host: Host) {
    this.host = host;
    this.refs = new Int32Array(SIZE);
    this.queued = 0;
    this.isOpen = false;
    this.failure = null;
  }

  /** Buffers that wait, 0 to 16. */
  get count(): number {
    return this.queued;
  }

  /**
   * Opens a scope and returns this; nothing is allocated.
   * @throws `ERR_NETMEM_BULK_OPEN` (EBUSY) when the scope before was left without its end. It stays open, and whoever
   * has it can end it.
   */
  begin(): this {
    if (this.isOpen) failOpen(this.queued);
    this.isOpen = true;
    return this;
  }

  /**
   * Takes a frame, which is dead afterwards: its fragments, then its head, wait until 16 buffers do. They may be of
   * any owners and types. Kernel: `xdp_return_frame_bulk`.
   *
   * @throws `ERR_NETMEM_BULK_CLOSED` (EINVAL) outside a scope; a misuse error for a frame that has fragments and is not
   * live; nothing has changed in either case. And what {@link flush} throws: the frame was taken then.
   */
  add(frame: FrameRef): void {
    if (!this.isOpen) failClosed();
    const host = this.host;
    if (frameHasFrags(host, frame)) this.addFrags(liveSharedInfoAt(host, frame));
    else if (this.queued === SIZE) this.sendHome();
    const queued = this.queued;
    this.refs[queued] = host.i32[frame + FRAME_REF]!;
    this.queued = queued + 1;
    if (this.failure !== null) this.rethrow();
  }

  /**
   * Sends everything that waits home (kernel: `xdp_flush_frame_bulk`).
   * @throws a misuse error for a buffer that is not live, once all the others are home.
   */
  flush(): void {
    if (this.queued > 0) this.sendHome();
    if (this.failure !== null) this.rethrow();
  }

  /** Flushes and closes the scope. Harmless when none is open. */
  end(): void {
    this.isOpen = false;
    this.flush();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  private addFrags(shinfo: number): void {
    const i32 = this.host.i32;
    const refs = this.refs;
    const count = i32[shinfo + NR_FRAGS]!;
    if (this.queued === SIZE) this.sendHome();
    let queued = this.queued;
    for (let n = 0; n < count; n++) {
      refs[queued++] = i32[fragAt(shinfo, n) + FRAG_REF]!;
      if (queued < SIZE) continue;
      this.queued = SIZE;
      this.sendHome();
      queued = 0;
    }
    this.queued = queued;
  }

  private sendHome(): void {
    const count = this.queued;
    this.queued = 0;
    try {
      returnNetmemBulk(this.host, this.refs, count);
    } catch (error) {
      this.returnBehind(error, count);
    }
  }

  /** Drops the entry that was refused and returns those behind it, because nobody else knows them any more. */
  private returnBehind(error: unknown, count: number): void {
    if (!(error instanceof NetmemError)) throw error;
    this.failure ??= error;
    for (let n = entryOf(error) + 1; n < count; n++) {
      try {
        returnNetmem(this.host, this.refs[n]! as NetmemRef);
      } catch (another) {
        if (!(another instanceof NetmemError)) throw another;
      }
    }
  }

  private rethrow(): never {
    const error = this.failure;
    this.failure = null;
    throw error;
  }
}

/** Index of the entry that a bulk return refused: its error says `refs[i]`. */
function entryOf(error: NetmemError): number {
  return Number(/\d+/.exec(error.param ?? "")?.[0] ?? 0);
}

function failOpen(count: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BULK_OPEN",
    errno: "EBUSY",
    reason: `the scope before was not ended; ${count} buffers wait in it`,
    remedy: "End every scope: `using scope = bulk.begin()`, or bulk.end() in a finally.",
    param: "count",
    value: count,
  });
}

function failClosed(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BULK_CLOSED",
    errno: "EINVAL",
    reason: "a frame was added outside a scope, where nothing would flush it",
    remedy: "Call begin() first, or return the frame with returnFrame.",
  });
}

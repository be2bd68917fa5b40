/*
 * data path
 *
 * The receiving end of an application that takes device memory (kernel: a TCP socket read with MSG_SOCK_DEVMEM). Linear
 * bytes are copied; each fragment becomes a record with a token, and the token holds the page until it is returned.
 */
import {
  type AbortSignalLike,
  checkInt,
  failParam,
  type Host,
  type NetmemRef,
  type PacketSource,
  refNetmem as refNetmem_,
} from "@netmem/core";
import { copyBytes as copyBytes_ } from "./copy-bytes.ts";
import type { Devmem } from "./devmem.ts";
import { HeldTokens, type HeldTokenStats, type TokenWork } from "./held-tokens.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { failClosed, failNotDevmem, failProtocol, failRanges, failUnreadable } from "./socket-errors.ts";
import {
  MSG_SOCK_DEVMEM,
  RECORD_DMABUF,
  RECORD_KIND,
  RECORD_OFFSET,
  RECORD_OFFSET_HIGH,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS as RECORD_WORDS_,
  RecordKind,
} from "./token-record.ts";

const RECORD_WORDS = RECORD_WORDS_;
const LINEAR = RecordKind.Linear;
const DMABUF = RecordKind.Dmabuf;
const TAKES_DEVMEM = MSG_SOCK_DEVMEM;
const refNetmem = refNetmem_;
const copyBytes = copyBytes_;

/** Entries of one {@link DevmemSocket.dontNeed}, and tokens that it looks at (kernel: `MAX_DONTNEED_TOKENS`, `_FRAGS`). */
const MAX_DONTNEED_RANGES = 128;
const MAX_DONTNEED_FRAGS = 1024;
const RANGE_WORDS = 2;
const MAX_TOKEN = 0x7fffffff;
/** Sockets start their tokens far apart, so that a token of another socket is most likely none of this one's. */
const TOKEN_STRIDE = 0x9e3779b1;

export interface DevmemSocketParams {
  readonly packets: PacketSource;
  /** Only TCP sockets deliver device memory. Default "tcp". */
  readonly protocol?: "tcp" | "udp";
  /** Tokens that the application may hold: a power of two, 16 to 2^20. Default 16384. */
  readonly maxTokens?: number;
  /** Packets that wait: a power of two, 1 to 65536. Default 1024. */
  readonly maxPackets?: number;
  /** From `createTokenRing`: tokens come back through it as well. */
  readonly returnRing?: number;
  /** Closes the socket: for a consumer that goes without saying so. */
  readonly signal?: AbortSignalLike;
}

/** What a socket counted, and what it holds. Counts run freely through 2^32. */
export interface DevmemSocketStats extends HeldTokenStats {
  /** Packets that wait. */
  readonly packets: number;
  /** Packets that were not taken because the queue was full. */
  readonly refused: number;
  /** Packets dropped because their bytes never landed. */
  readonly failed: number;
  /** Receive calls that ended because all tokens were out. */
  readonly exhausted: number;
}

/** One thread: that of the queues whose packets it gets. */
export class DevmemSocket {
  declare private readonly held: HeldTokens;
  declare private readonly queue: ReceiveQueue;
  declare private readonly host: Host;
  declare private readonly devmem: Devmem;
  /** Records that the last {@link recv} wrote. */
  declare recordCount: number;
  /** Bytes that the last {@link recv} copied into `out`. */
  declare copiedBytes: number;
  declare private refused: number;
  declare private failed: number;
  declare private exhausted: number;
  declare private isClosed: boolean;
  declare private readonly isTcp: boolean;
  declare private readonly wakers: Set<() => void>;
  declare private readonly stopListening: () => void;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) */
  constructor(devmem: Devmem, params: DevmemSocketParams) {
    const maxPackets = checkInt("maxPackets", params.maxPackets ?? 1024, 1, 65536);
    if ((maxPackets & (maxPackets - 1)) !== 0) failParam("maxPackets", maxPackets, "a power of two", "Round it up.");
    const firstToken = Math.imul(devmem.takeSocketNumber(), TOKEN_STRIDE) & MAX_TOKEN || 1;
    this.held = new HeldTokens(devmem, params.maxTokens ?? 16384, firstToken, params.returnRing ?? 0);
    this.queue = new ReceiveQueue(params.packets, maxPackets);
    this.host = devmem.host;
    this.devmem = devmem;
    this.recordCount = 0;
    this.copiedBytes = 0;
    this.refused = 0;
    this.failed = 0;
    this.exhausted = 0;
    this.isClosed = false;
    this.isTcp = (params.protocol ?? "tcp") === "tcp";
    this.wakers = new Set();
    this.stopListening = this.listen(params.signal);
  }

  /** Takes a packet, to be consumed when it was read. False when the queue is full or closed: it stays the caller's. */
  enqueue(packet: number): boolean {
    if (this.isClosed || !this.queue.push(packet)) {
      this.refused = (this.refused + 1) | 0;
      return false;
    }
    if (this.wakers.size > 0) this.wake();
    return true;
  }

  /**
   * Reads what waits, up to `maxBytes` bytes: linear bytes into `out`, and records of `RECORD_WORDS` words into `records`. One
   * call delivers readable packets, by copying, or device memory, as tokens; never both. A fragment that is read in parts
   * gives a token for each. Returns the bytes delivered; 0 when nothing is there, the first packet has not landed, or `out`,
   * `records` or the tokens are used up. See {@link recordCount}, {@link copiedBytes}.
   *
   * @throws `ERR_NETMEM_UNREADABLE` (EFAULT) for device memory without `MSG_SOCK_DEVMEM` in `flags`,
   * `ERR_NETMEM_NOT_DEVMEM` (ENODEV) for an unreadable fragment of no binding; the packet stays, see {@link discard}.
   * `ERR_NETMEM_SOCKET_CLOSED` (EBADF).
   */
  recv(out: Uint8Array, records: Int32Array, flags: number, maxBytes: number): number {
    this.recordCount = 0;
    this.copiedBytes = 0;
    if (this.isClosed) failClosed();
    if (this.held.hasRing) this.held.drainRing();
    const packet = this.queue.head();
    if (packet === 0) return 0;
    if (!this.queue.view.of(packet).unreadable) return this.recvBytes(out, maxBytes);
    if ((flags & TAKES_DEVMEM) === 0 || !this.isTcp) failUnreadable();
    return this.recvTokens(out, records, maxBytes);
  }

  /**
   * Returns tokens: `ranges[0..words)` is pairs of first token and count. Tokens that are not out are skipped. Looks at 1024
   * tokens at most; returns how many it ended (kernel: `SO_DEVMEM_DONTNEED`).
   *
   * @throws `ERR_NETMEM_TOKEN_RANGES` (EINVAL) for half a pair or more than 128, `ERR_NETMEM_NOT_TCP` (EBADF),
   * `ERR_NETMEM_SOCKET_CLOSED` (EBADF).
   */
  dontNeed(ranges: Int32Array, words: number): number {
    this.checkCall();
    const max = MAX_DONTNEED_RANGES * RANGE_WORDS;
    if (words % RANGE_WORDS !== 0 || words < 0 || words > max || words > ranges.length) failRanges(words);
    return this.held.endRanges(ranges, words, MAX_DONTNEED_FRAGS);
  }

  /**
   * As {@link dontNeed} for one range, for callers that want to hear of a mistake.
   * @throws `ERR_NETMEM_TOKEN_UNKNOWN` (ENOENT) when one of the tokens is not out; none is returned then.
   */
  giveBack(token: number, count: number): void {
    this.checkCall();
    this.held.endAllOrNone(token, count);
  }

  /** Takes what the application put into the return ring; {@link recv} does so too. Returns how many tokens it ended. */
  drainReturns(): number {
    return this.isClosed ? 0 : this.held.drainRing();
  }

  /** Whether {@link recv} would find a packet that has landed. */
  get isReadable(): boolean {
    const packet = this.queue.head();
    return packet !== 0 && (!this.queue.isFresh || !this.isLanding(packet));
  }

  /** Drops the first packet. */
  discard(): void {
    this.queue.discard();
  }

  /**
   * Has `work` done on what the tokens stand for. The pages are held until the promise has ended, also when the tokens are
   * returned meanwhile: so no packet lands under a device that still reads. Control path.
   *
   * @throws `ERR_NETMEM_TOKEN_UNKNOWN` (ENOENT), `ERR_NETMEM_TOKENS_MIXED` (EINVAL) for no token or for two memories, and a
   * misuse error for a token whose page somebody else had returned. Nothing is held then.
   */
  async use<Result>(tokens: Iterable<number>, work: TokenWork<Result>): Promise<Result> {
    this.checkCall();
    return this.held.use(tokens, work);
  }

  /** The bytes of tokens, one behind the other: an explicit way around the isolation, counted by the memory. Control path. */
  readback(tokens: Iterable<number>): Promise<Uint8Array<ArrayBuffer>> {
    return this.use(tokens, (frags, memory) => memory.readback(frags));
  }

  /** Resolves when {@link recv} would find something, or the socket is closed. Control path. */
  async readable(): Promise<void> {
    while (!this.isClosed && !this.isReadable) {
      await new Promise<void>((resolve) => this.wakers.add(resolve));
    }
  }

  /**
   * Returns every token that is out and drops every packet. Returns how many tokens that were. A second time does nothing.
   * Control path.
   */
  close(): number {
    if (this.isClosed) return 0;
    while (this.queue.count > 0) this.queue.discard();
    const ended = this.held.endAll(1, MAX_TOKEN);
    this.isClosed = true;
    this.stopListening();
    this.wake();
    return ended;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Control path. */
  stats(): DevmemSocketStats {
    return {
      packets: this.queue.count,
      ...this.held.stats(),
      refused: this.refused >>> 0,
      failed: this.failed >>> 0,
      exhausted: this.exhausted >>> 0,
    };
  }

  private recvBytes(out: Uint8Array, maxBytes: number): number {
    const { queue } = this;
    const room = maxBytes < out.length ? maxBytes : out.length;
    while (this.copiedBytes < room) {
      const packet = queue.head();
      if (packet === 0 || queue.view.of(packet).unreadable) break;
      const left = queue.nextPiece();
      if (left > 0) this.copyPiece(out, left, room);
    }
    this.endPacket();
    return this.copiedBytes;
  }

  private recvTokens(out: Uint8Array, records: Int32Array, maxBytes: number): number {
    const { queue } = this;
    let total = 0;
    while (total < maxBytes && this.isNextReady()) {
      const left = queue.nextPiece();
      if (left === 0) continue;
      if ((this.recordCount + 1) * RECORD_WORDS > records.length) break;
      const want = left < maxBytes - total ? left : maxBytes - total;
      const got = queue.fragIdx < 0 ? this.copyHead(out, records, want) : this.giveToken(records, want, total);
      if (got === 0) break;
      total += got;
    }
    this.endPacket();
    return total;
  }

  /** Consumes a packet of which everything was read. */
  private endPacket(): void {
    if (!this.queue.isFresh) this.queue.nextPiece();
  }

  /** Whether more of the first packet may be delivered, or a further one that is device memory too. */
  private isNextReady(): boolean {
    const { queue } = this;
    while (queue.isFresh) {
      const packet = queue.head();
      if (packet === 0 || !queue.view.of(packet).unreadable || this.isLanding(packet)) return false;
      if (!this.hasFailed(packet)) return true;
      this.failed = (this.failed + 1) | 0;
      queue.discard();
    }
    return true;
  }

  private copyHead(out: Uint8Array, records: Int32Array, want: number): number {
    const before = this.copiedBytes;
    this.copyPiece(out, want, out.length);
    const got = this.copiedBytes - before;
    if (got > 0) this.writeRecord(records, 0, 0, got, 0, 0, LINEAR);
    return got;
  }

  /** Copies up to `want` bytes of the current piece, as far as `out[0..room)` has room. */
  private copyPiece(out: Uint8Array, want: number, room: number): void {
    const { queue } = this;
    const { view, fragIdx } = queue;
    const free = room - this.copiedBytes;
    const len = want < free ? want : free;
    const start =
      fragIdx < 0 ? view.data : this.host.offsetOf(view.fragRef(fragIdx) as never) + view.fragOffset(fragIdx);
    copyBytes(out, this.copiedBytes, this.host.u8, start + queue.done, len);
    this.copiedBytes += len;
    queue.done += len;
  }

  private giveToken(records: Int32Array, len: number, delivered: number): number {
    const { queue, host } = this;
    const { view, fragIdx } = queue;
    const ref = view.fragRef(fragIdx) as NetmemRef;
    const binding = this.devmem.bindingOf(ref);
    if (binding === null) {
      if (delivered === 0) failNotDevmem(ref);
      return 0;
    }
    const offset = view.fragOffset(fragIdx) + queue.done;
    const token = this.held.add(ref, offset, len);
    if (token === 0) {
      this.exhausted = (this.exhausted + 1) | 0;
      return 0;
    }
    refNetmem(host, ref);
    const page = binding.pages.pageOf(ref);
    const low = (page << host.pageShift) | offset;
    this.writeRecord(records, low, page >>> (32 - host.pageShift), len, token, binding.id, DMABUF);
    queue.done += len;
    return len;
  }

  private writeRecord(
    records: Int32Array,
    low: number,
    high: number,
    size: number,
    token: number,
    dmabufId: number,
    kind: number,
  ): void {
    const at = this.recordCount * RECORD_WORDS;
    records[at + RECORD_OFFSET] = low;
    records[at + RECORD_OFFSET_HIGH] = high;
    records[at + RECORD_SIZE] = size;
    records[at + RECORD_TOKEN] = token;
    records[at + RECORD_DMABUF] = dmabufId;
    records[at + RECORD_KIND] = kind;
    this.recordCount++;
  }

  private isLanding(packet: number): boolean {
    return !this.isQuiet() && this.findFrag(packet, false);
  }

  private hasFailed(packet: number): boolean {
    return !this.isQuiet() && this.findFrag(packet, true);
  }

  private isQuiet(): boolean {
    const { zones } = this.devmem;
    for (let n = 0; n < zones.length; n++) if (!zones[n]!.isQuiet) return false;
    return true;
  }

  /** Whether a fragment of the packet is still landing, or failed to land. */
  private findFrag(packet: number, failed: boolean): boolean {
    const { view } = this.queue;
    let segment = packet;
    while (segment !== 0) {
      view.of(segment);
      for (let n = 0; n < view.nrFrags; n++) {
        const ref = view.fragRef(n) as NetmemRef;
        const landing = this.devmem.bindingOf(ref)?.landing;
        if (landing !== undefined && (failed ? landing.hasFailed(ref) : landing.isLanding(ref))) return true;
      }
      segment = segment === packet ? view.fragList : view.next;
    }
    return false;
  }

  private checkCall(): void {
    if (!this.isTcp) failProtocol();
    if (this.isClosed) failClosed();
  }

  /** Control path: somebody waits. */
  private wake(): void {
    const wakers = [...this.wakers];
    this.wakers.clear();
    wakers.forEach((wake) => wake());
  }

  /** Control path. */
  private listen(signal: AbortSignalLike | undefined): () => void {
    if (signal?.aborted === true) {
      this.isClosed = true;
      return () => {};
    }
    const stopLanded = this.devmem.onLanded(() => this.wake());
    const close = (): void => void this.close();
    signal?.addEventListener("abort", close);
    return () => {
      stopLanded();
      signal?.removeEventListener("abort", close);
    };
  }
}

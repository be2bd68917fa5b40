/*
 * data path
 *
 * What an application holds of a socket's pages, and the ways in which it lets go: a call, a ring, a device that has
 * finished, the end of the socket.
 */
import {
  checkInt,
  flushReturns as flushReturns_,
  holdReturns as holdReturns_,
  type Host,
  type NetmemRef,
  refNetmem,
  returnNetmem as returnNetmem_,
  returnRun as returnRun_,
} from "@netmem/core";
import { SpscConsumer } from "@netmem/ring";
import type { DeviceFrag, DeviceMemory } from "./device-memory.ts";
import type { Devmem } from "./devmem.ts";
import { failMixed, failToken } from "./socket-errors.ts";
import { TokenTable } from "./token-table.ts";

const flushReturns = flushReturns_;
const holdReturns = holdReturns_;
const returnNetmem = returnNetmem_;
const returnRun = returnRun_;
const RANGE_WORDS = 2;
const RING_BATCH_WORDS = 64;
const REF_BATCH = 64;
const MAX_TOKEN = 0x7fffffff;

/** What a device does with the bytes of tokens. */
export type TokenWork<Result> = (frags: readonly DeviceFrag[], memory: DeviceMemory) => Promise<Result>;

/** Tokens of a socket. */
export interface HeldTokenStats {
  /** Out. */
  readonly tokens: number;
  /** Returned. */
  readonly returned: number;
  /** Returned and not out, and ranges that are none. */
  readonly unknown: number;
  /** Whose page somebody else had returned, and pages that went that way under a device. */
  readonly lost: number;
}

/**
 * Device memory that an application holds by tokens. Sockets have one each; whoever delivers otherwise may use it alone.
 * Belongs to the thread of the bindings.
 */
export class HeldTokens {
  declare private readonly tokens: TokenTable;
  declare private readonly host: Host;
  declare private readonly ring: SpscConsumer | null;
  declare private readonly ranges: Int32Array;
  declare private readonly refs: Int32Array;
  declare private returned: number;
  declare private unknown: number;
  declare private lost: number;
  declare private readonly devmem: Devmem;

  /**
   * @param capacity tokens that may be out: a power of two, 16 to 2^20
   * @param firstToken the first one that is given, 1 to 2^31 - 1
   * @param ringAt word offset of a token ring, 0 for none
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
   */
  constructor(devmem: Devmem, capacity: number, firstToken: number, ringAt: number) {
    this.tokens = new TokenTable(capacity, checkInt("firstToken", firstToken, 1, MAX_TOKEN));
    this.host = devmem.host;
    this.ring = ringAt === 0 ? null : new SpscConsumer(devmem.host.i32, ringAt);
    this.ranges = new Int32Array(RING_BATCH_WORDS);
    this.refs = new Int32Array(REF_BATCH);
    this.returned = 0;
    this.unknown = 0;
    this.lost = 0;
    this.devmem = devmem;
  }

  get hasRing(): boolean {
    return this.ring !== null;
  }

  /** A token for bytes whose reference it takes over; 0 when all are out. */
  add(ref: NetmemRef, offset: number, len: number): number {
    return this.tokens.add(ref, offset, len);
  }

  /** Ends what is out of `words / 2` ranges, after looking at `max` tokens at most; returns how many. */
  endRanges(ranges: Int32Array, words: number, max: number): number {
    let left = max;
    let ended = 0;
    holdReturns(this.host);
    for (let n = 0; n < words && left > 0; n += RANGE_WORDS) {
      const asked = ranges[n + 1]!;
      // The kernel's count is unsigned.
      const count = asked < 0 || asked > left ? left : asked;
      ended += this.endRange(ranges[n]!, count);
      left -= count;
    }
    flushReturns(this.host);
    return ended;
  }

  /** @throws `ERR_NETMEM_TOKEN_UNKNOWN` (ENOENT) */
  endAllOrNone(token: number, count: number): void {
    for (let n = 0; n < count; n++) if (this.tokens.refOf(token + n) === 0) failToken(token + n);
    holdReturns(this.host);
    this.endRange(token, count);
    flushReturns(this.host);
  }

  /**
   * Ends what is in the ring; returns how many tokens that were. Takes no more than the ring has room for, whatever its
   * producer says.
   */
  drainRing(): number {
    const { ring, ranges } = this;
    if (ring === null) return 0;
    let ended = 0;
    holdReturns(this.host);
    for (let left = ring.size; left > 0; left -= RING_BATCH_WORDS) {
      const max = left < RING_BATCH_WORDS ? left : RING_BATCH_WORDS;
      const words = ring.consumeBatch(ranges, 0, max) & ~1;
      for (let n = 0; n < words; n += RANGE_WORDS) ended += this.endAny(ranges[n]!, ranges[n + 1]!);
      if (words < max) break;
    }
    flushReturns(this.host);
    return ended;
  }

  /**
   * Has `work` done on what the tokens stand for. The pages are held until the promise has ended, also when the tokens are
   * returned meanwhile: so no packet lands under a device that still reads. Control path.
   *
   * @throws `ERR_NETMEM_TOKEN_UNKNOWN` (ENOENT), `ERR_NETMEM_TOKENS_MIXED` (EINVAL) for no token or for two memories, and a
   * misuse error for a token whose page somebody else had returned. Nothing is held then.
   */
  async use<Result>(tokens: Iterable<number>, work: TokenWork<Result>): Promise<Result> {
    const held = [...tokens].map((token) => this.fragOf(token));
    const memory = held[0]?.memory;
    if (memory === undefined || held.some((frag) => frag.memory !== memory)) failMixed(held.length);
    const refs = Int32Array.from(held, ({ ref }) => ref);
    let taken = 0;
    try {
      for (; taken < held.length; taken++) refNetmem(this.host, held[taken]!.ref);
      return await work(
        held.map(({ offset, length }) => ({ offset, length })),
        memory,
      );
    } finally {
      this.lost = (this.lost + this.returnAll(refs, taken)) | 0;
    }
  }

  stats(): HeldTokenStats {
    return {
      tokens: this.tokens.count,
      returned: this.returned >>> 0,
      unknown: this.unknown >>> 0,
      lost: this.lost >>> 0,
    };
  }

  /** Ends what is out from `first` to `last`, in the time that the table takes, however many numbers that are. */
  endAll(first: number, last: number): number {
    const { tokens } = this;
    let ended = 0;
    for (let n = 0; n < tokens.capacity && tokens.count > 0; n++) {
      const token = tokens.at(n);
      if (token !== 0 && token >= first && token <= last) ended += this.endRange(token, 1);
    }
    return ended;
  }

  /** A range of the return ring: of any size, since nobody vouches for it. */
  private endAny(token: number, count: number): number {
    if (count > 0 && count <= this.tokens.capacity) return this.endRange(token, count);
    if (count > 0) return this.endAll(token, token + count - 1);
    this.unknown = (this.unknown + 1) | 0;
    return 0;
  }

  /** Last one first: pages come off their owner's stack in the order of the device again, see `GenPool.take`. */
  private endRange(token: number, count: number): number {
    let ended = 0;
    for (let left = count; left > 0; left -= REF_BATCH) {
      const part = left < REF_BATCH ? left : REF_BATCH;
      const n = this.tokens.takeRange((token + left - part) | 0, part, this.refs);
      const lost = this.returnAll(this.refs, n);
      this.unknown = (this.unknown + part - n) | 0;
      this.returned = (this.returned + n - lost) | 0;
      this.lost = (this.lost + lost) | 0;
      ended += n;
    }
    return ended;
  }

  /** Returns `refs[0..count)`; returns how many of them somebody else had returned. */
  private returnAll(refs: Int32Array, count: number): number {
    const { host } = this;
    let n = 0;
    let lost = 0;
    while (n < count) {
      try {
        while (n < count) {
          n = returnRun(host, refs, n, count);
          if (n < count) returnNetmem(host, refs[n++]! as NetmemRef);
        }
      } catch {
        // Somebody returned the page behind the token's back. The rest is right.
        lost++;
      }
    }
    return lost;
  }

  /** Control path. */
  private fragOf(token: number): DeviceFrag & { readonly ref: NetmemRef; readonly memory: DeviceMemory } {
    const ref = this.tokens.refOf(token);
    const binding = ref === 0 ? null : this.devmem.bindingOf(ref);
    if (ref === 0 || binding === null) return failToken(token);
    const offset = binding.pages.pageOf(ref) * 2 ** this.host.pageShift + this.tokens.offsetOf(token);
    return { offset, length: this.tokens.lenOf(token), ref, memory: binding.memory };
  }
}

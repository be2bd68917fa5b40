/*
 * data path
 *
 * The fragments that an application holds, by token (kernel: the socket's `sk_user_frags`). Tokens are handed out one after
 * the other through 31 bits, so that a batch is one range, and a token that was returned is not soon another's. Words of a
 * slot, four of them:  0 token, 0 when free   1 netmem   2 offset in it   3 bytes
 */
import { checkInt, failParam, type NetmemRef } from "@netmem/core";

const WORDS = 4;
const REF = 1;
const OFFSET = 2;
const LEN = 3;
const MAX_TOKEN = 0x7fffffff;

export class TokenTable {
  declare private readonly slots: Int32Array;
  declare private readonly mask: number;
  declare private next: number;
  /** Tokens that are out. */
  declare count: number;
  declare readonly capacity: number;

  /**
   * @param firstToken 1 to 2^31 - 1
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `capacity` is a power of two from 16 to 2^20.
   */
  constructor(capacity: number, firstToken: number) {
    checkInt("maxTokens", capacity, 16, 2 ** 20);
    if ((capacity & (capacity - 1)) !== 0) failParam("maxTokens", capacity, "a power of two", "Round it up.");
    this.slots = new Int32Array(capacity * WORDS);
    this.mask = capacity - 1;
    this.next = firstToken;
    this.count = 0;
    this.capacity = capacity;
  }

  /** A token for a fragment whose reference is the table's from now on; 0 when all are out. */
  add(ref: NetmemRef, offset: number, len: number): number {
    const { slots, next: token } = this;
    const at = (token & this.mask) << 2;
    if (slots[at] !== 0) return this.addBehind(ref, offset, len);
    slots[at] = token;
    slots[at + REF] = ref;
    slots[at + OFFSET] = offset;
    slots[at + LEN] = len;
    this.next = tokenAfter(token);
    this.count++;
    return token;
  }

  /**
   * Ends those of `count` tokens from `first` on that are out, the last one first, and writes their references to
   * `out[0..n)`: they are the caller's. Returns n.
   */
  takeRange(first: number, count: number, out: Int32Array): number {
    const { slots, mask } = this;
    let n = 0;
    for (let k = count - 1; k >= 0; k--) {
      const token = (first + k) | 0;
      const at = (token & mask) << 2;
      if (token <= 0 || slots[at] !== token) continue;
      slots[at] = 0;
      out[n++] = slots[at + REF]!;
    }
    this.count -= n;
    return n;
  }

  /** Netmem of a token that is out, 0 otherwise. */
  refOf(token: number): NetmemRef | 0 {
    const at = (token & this.mask) << 2;
    return (token > 0 && this.slots[at] === token ? this.slots[at + REF]! : 0) as NetmemRef | 0;
  }

  /** Of a token that is out: where its bytes start in the netmem. */
  offsetOf(token: number): number {
    return this.slots[((token & this.mask) << 2) + OFFSET]!;
  }

  /** Of a token that is out: its bytes. */
  lenOf(token: number): number {
    return this.slots[((token & this.mask) << 2) + LEN]!;
  }

  /** The token in slot `n` of {@link capacity}, 0 when it is free. */
  at(n: number): number {
    return this.slots[n << 2]!;
  }

  /** The slot of the next token is still taken. */
  private addBehind(ref: NetmemRef, offset: number, len: number): number {
    if (this.count === this.capacity) return 0;
    const { slots, mask } = this;
    while (slots[(this.next & mask) << 2] !== 0) this.next = tokenAfter(this.next);
    return this.add(ref, offset, len);
  }
}

function tokenAfter(token: number): number {
  return token === MAX_TOKEN ? 1 : token + 1;
}

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

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless `capacity` is a power of two from 16 to 2^20. */
  constructor(capacity: number, firstToken: number) {
    checkInt("maxTokens", capacity, 16, 2 ** 20);
    if ((capacity & (capacity - 1)) !== 0) failParam("maxTokens", capacity, "a power of two", "Round it up.");
    this.slots = new Int32Array(capacity * WORDS);
    this.mask = capacity - 1;
    this.next = firstToken === 0 ? 1 : firstToken;
    this.count = 0;
    this.capacity = capacity;
  }

  /** A token for a fragment whose reference is the table's from now on; 0 when all are out. */
  add(ref: NetmemRef, offset: number, len: number): number {
    if (this.count === this.capacity) return 0;
    const { slots, mask } = this;
    let token = this.next;
    while (slots[(token & mask) << 2] !== 0) token = token === MAX_TOKEN ? 1 : token + 1;
    const at = (token & mask) << 2;
    slots[at] = token;
    slots[at + REF] = ref;
    slots[at + OFFSET] = offset;
    slots[at + LEN] = len;
    this.next = token === MAX_TOKEN ? 1 : token + 1;
    this.count++;
    return token;
  }

  /** Ends a token and gives its reference to the caller; 0 for one that is not out. */
  take(token: number): NetmemRef | 0 {
    const { slots } = this;
    const at = (token & this.mask) << 2;
    if (token <= 0 || slots[at] !== token) return 0;
    slots[at] = 0;
    this.count--;
    return slots[at + REF]! as NetmemRef;
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
}

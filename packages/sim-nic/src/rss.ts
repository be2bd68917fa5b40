/* data path */
import { checkInt, failParam } from "@netmem/core";
import { FlowKey, FlowKind } from "./flow-key.ts";
import { Toeplitz } from "./toeplitz.ts";

/** Entries of the indirection table: the low 7 bits of a hash choose. */
export const RSS_TABLE_SIZE = 128;

const TABLE_MASK = RSS_TABLE_SIZE - 1;
const NONE = FlowKind.None;
const IPV4 = FlowKind.Ipv4;
const IPV4_PORTS = FlowKind.Ipv4Ports;
const IPV6 = FlowKind.Ipv6;

/** Where an untagged IPv4 packet without options has its addresses and ports. */
const PLAIN_ADDR = 26;
const PLAIN_PORTS = 34;
const PLAIN_BYTES = 38;

/** Most frames: untagged IPv4 without options, whole, TCP or UDP. */
function isPlainIpv4(bytes: Uint8Array, at: number): boolean {
  const proto = bytes[at + 23]!;
  return (
    bytes[at + 12] === 0x08 &&
    bytes[at + 13] === 0 &&
    bytes[at + 14] === 0x45 &&
    (proto === 17 || proto === 6) &&
    (bytes[at + 20]! & 0x3f) === 0 &&
    bytes[at + 21] === 0
  );
}

/** Chooses a queue for every frame, the same for all frames of a flow. Frames without a flow have hash 0. */
export class Rss {
  /** Hash of the frame given to the last {@link chooseQueue}, 0 when it has none. */
  lastHash = 0;
  declare private readonly toeplitz: Toeplitz;
  private readonly key: FlowKey = new FlowKey();
  private readonly table: Int32Array = new Int32Array(RSS_TABLE_SIZE);
  declare private readonly queueCount: number;

  /** Spreads over `queueCount` queues evenly. `hashKey`: 40 bytes. */
  constructor(queueCount: number, hashKey?: ArrayLike<number>) {
    this.queueCount = queueCount;
    this.toeplitz = new Toeplitz(hashKey);
    for (let n = 0; n < RSS_TABLE_SIZE; n++) this.table[n] = n % queueCount;
  }

  /**
   * Replaces the indirection table.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) unless it has 128 entries that are all queues.
   */
  setTable(table: ArrayLike<number>): void {
    if (table.length !== RSS_TABLE_SIZE) {
      failParam("table.length", table.length, `${RSS_TABLE_SIZE}`, "Give every entry a queue.");
    }
    for (let n = 0; n < RSS_TABLE_SIZE; n++) checkInt(`table[${n}]`, table[n]!, 0, this.queueCount - 1);
    for (let n = 0; n < RSS_TABLE_SIZE; n++) this.table[n] = table[n]!;
  }

  /**
   * Control path. Spreads over the first `count` queues evenly: a device's `setQueueCount`.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for more queues than there are.
   */
  setQueueCount(count: number): void {
    checkInt("count", count, 1, this.queueCount);
    for (let n = 0; n < RSS_TABLE_SIZE; n++) this.table[n] = n % count;
  }

  /**
   * Control path. Takes a queue out of the indirection table: its entries are dealt to the queues that are left, in turn.
   * For a queue that only flow rules shall fill.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for the last queue of the table.
   */
  excludeQueue(queueIdx: number): void {
    checkInt("queueIdx", queueIdx, 0, this.queueCount - 1);
    const rest = [...new Set(this.table)].filter((one) => one !== queueIdx);
    if (rest.length === 0) failParam("queueIdx", queueIdx, "not the last queue", "Leave a queue in the table.");
    let dealt = 0;
    for (let n = 0; n < RSS_TABLE_SIZE; n++) {
      if (this.table[n] === queueIdx) this.table[n] = rest[dealt++ % rest.length]!;
    }
  }

  /** Queue of the frame of `lenBytes` bytes at `at`; leaves its hash in {@link lastHash}. 6 ns for IPv4. */
  chooseQueue(bytes: Uint8Array, at: number, lenBytes: number): number {
    if (lenBytes >= PLAIN_BYTES && isPlainIpv4(bytes, at)) {
      const hash = this.toeplitz.hashIpv4Ports(bytes, at + PLAIN_ADDR, at + PLAIN_PORTS);
      this.lastHash = hash;
      return this.table[hash & TABLE_MASK]!;
    }
    return this.chooseParsed(bytes, at, lenBytes);
  }

  private chooseParsed(bytes: Uint8Array, at: number, lenBytes: number): number {
    const kind = this.key.parse(bytes, at, lenBytes);
    if (kind === NONE) {
      this.lastHash = 0;
      return this.table[0]!;
    }
    const hash = this.hashOf(kind, bytes);
    this.lastHash = hash;
    return this.table[hash & TABLE_MASK]!;
  }

  private hashOf(kind: number, bytes: Uint8Array): number {
    const { addrAt, portsAt } = this.key;
    if (kind === IPV4_PORTS) return this.toeplitz.hashIpv4Ports(bytes, addrAt, portsAt);
    if (kind === IPV4) return this.toeplitz.hashIpv4(bytes, addrAt);
    return kind === IPV6 ? this.toeplitz.hashIpv6(bytes, addrAt) : this.toeplitz.hashIpv6Ports(bytes, addrAt, portsAt);
  }
}

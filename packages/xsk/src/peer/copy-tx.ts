/*
 * data path
 *
 * The kernel's side of transmitting in copy mode (`__xsk_generic_xmit`): descriptors are put together into one packet and
 * handed to the device. Addresses complete when the packet is gone, sent or not.
 */
import { DescOption, Errno } from "../abi.ts";
import type { AddrProducer } from "../addr-ring.ts";
import type { ChunkGeometry } from "../chunk-geometry.ts";
import type { DescConsumer } from "../desc-ring.ts";
import { TxVerdict } from "./xsk-device.ts";
import type { XskQueue } from "./xsk-queue.ts";
import type { XskSocket } from "./xsk-socket.ts";

const CONTD = DescOption.PktContd;
const EAGAIN = -Errno.EAGAIN;
const EBUSY = -Errno.EBUSY;
const BUSY = TxVerdict.Busy;
const DROPPED = TxVerdict.Dropped;
/** Goes on with the next descriptor. */
const NEXT = 1;

export class CopyTx {
  declare private readonly socket: XskSocket;
  declare private readonly queue: XskQueue;
  declare private readonly tx: DescConsumer;
  declare private readonly completion: AddrProducer;
  declare private readonly geometry: ChunkGeometry;
  declare private readonly i32: Int32Array;
  /** Where packets are put together: byte offset and size. */
  declare private readonly packetAt: number;
  declare private readonly packetWords: number;
  declare private readonly maxDescs: number;
  declare private lenBytes: number;
  /** Addresses of the packet's descriptors, two words each. */
  declare private readonly addrs: Int32Array;
  declare private descs: number;
  /** The rest of a packet that cannot be sent is being dropped. */
  declare private isDraining: boolean;

  constructor(queue: XskQueue, socket: XskSocket) {
    const { host, umem } = queue;
    const maxDescs = queue.device.maxSkbFrags + 1;
    this.socket = socket;
    this.queue = queue;
    this.tx = socket.tx!;
    this.completion = queue.completion;
    this.geometry = umem.geometry;
    this.i32 = host.i32;
    this.packetWords = (maxDescs * umem.chunkSizeBytes) >>> 2;
    this.packetAt = host.heap.allocWords(this.packetWords) << 2;
    this.maxDescs = maxDescs;
    this.lenBytes = 0;
    this.addrs = new Int32Array(maxDescs * 2);
    this.descs = 0;
    this.isDraining = false;
  }

  /** One `sendto`: up to the budget of descriptors. 0, EAGAIN or EBUSY, negated. */
  xmit(): number {
    const { tx, socket } = this;
    let budget = socket.maxTxBudget;
    let result = NEXT;
    while (result === NEXT) {
      if (tx.peek(1) === 0) {
        socket.txEmptyDescs++;
        result = 0;
      } else if (budget-- === 0) result = EAGAIN;
      else result = this.takeDesc(tx.at(0));
    }
    this.completion.submit();
    tx.publish();
    return result;
  }

  dispose(): void {
    this.queue.host.heap.freeWords(this.packetAt >> 2, this.packetWords);
  }

  private takeDesc(d: number): number {
    const { i32, completion } = this;
    const low = i32[d]!;
    const high = i32[d + 1]!;
    const lenBytes = i32[d + 2]!;
    const options = i32[d + 3]!;
    if (completion.room(this.descs + 1) <= this.descs) return EAGAIN;
    if (this.isDraining) return this.drain(low, high, options);
    const offset = this.geometry.txOffset(low, high, lenBytes, options);
    if (offset < 0) {
      this.dropPacket();
      this.drain(low, high, options);
      return 0;
    }
    if (this.descs === this.maxDescs) {
      this.dropPacket();
      return this.drain(low, high, options);
    }
    this.append(low, high, offset, lenBytes);
    this.tx.advance(1);
    return (options & CONTD) === 0 ? this.send() : NEXT;
  }

  private append(low: number, high: number, offset: number, lenBytes: number): void {
    const from = this.geometry.offset + offset;
    this.queue.host.u8.copyWithin(this.packetAt + this.lenBytes, from, from + lenBytes);
    this.lenBytes += lenBytes;
    this.addrs[this.descs * 2] = low;
    this.addrs[this.descs * 2 + 1] = high;
    this.descs++;
  }

  private send(): number {
    const { queue, descs } = this;
    const verdict = queue.device.transmit(queue.host.u8, this.packetAt, this.lenBytes, queue.queueIdx);
    if (verdict === BUSY) {
      this.tx.advance(-descs);
      this.descs = 0;
      this.lenBytes = 0;
      return EAGAIN;
    }
    this.finishPacket();
    return verdict === DROPPED ? EBUSY : NEXT;
  }

  /** Completes the packet's descriptors. */
  private finishPacket(): void {
    for (let n = 0; n < this.descs; n++) this.completion.put(this.addrs[n * 2]!, this.addrs[n * 2 + 1]!);
    this.descs = 0;
    this.lenBytes = 0;
  }

  /** Gives up what was put together so far. */
  private dropPacket(): void {
    this.socket.txInvalidDescs += this.descs;
    this.finishPacket();
  }

  /** Consumes and completes a descriptor of a packet that is dropped. */
  private drain(low: number, high: number, options: number): number {
    this.socket.txInvalidDescs++;
    this.completion.put(low, high);
    this.tx.advance(1);
    this.isDraining = (options & CONTD) !== 0;
    return NEXT;
  }
}

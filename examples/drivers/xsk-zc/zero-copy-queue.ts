/*
 * data path
 *
 * The kernel's half: what an Ethernet driver does for a queue with an AF_XDP socket in zero-copy mode. Buffers come from
 * the socket's fill ring and go into the hardware's descriptors as they are; received ones go to the RX ring, descriptors
 * of the TX ring to the hardware. Kernel: `ice_xsk.c` and its like.
 */
import { type Host, type NetmemRef } from "@netmem/core";
import { QueueCounter, type RxQueue } from "@netmem/netdev";
import { DESC_FLAGS, DESC_LENGTH, DescFlag, type DescriptorRing, type NicQueue } from "@netmem/sim-nic";
import { DescOption, xskFlush, xskRcvZc, type XskQueue, type XskSocket, zeroCopyFrameBytes } from "@netmem/xsk";

const LENGTH = DESC_LENGTH;
const FLAGS = DESC_FLAGS;
const EOP = DescFlag.Eop;
const ERROR = DescFlag.Error;
const CONTD = DescOption.PktContd;
const BATCH = 64;

export class ZeroCopyQueue {
  /** Packet bytes per buffer. */
  declare readonly bufferBytes: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly queue: RxQueue;
  declare private readonly hw: NicQueue;
  declare private readonly rx: DescriptorRing;
  declare private readonly tx: DescriptorRing;
  declare private readonly socket: XskSocket;
  declare private readonly xsk: XskQueue;
  /** Buffer that an RX slot's descriptor points at. */
  declare private readonly refs: Int32Array;
  declare private readonly batch: Int32Array;
  declare private readonly pageMask: number;
  declare private readonly needsSync: boolean;
  private isStopped = false;

  constructor(host: Host, queue: RxQueue, hw: NicQueue, socket: XskSocket, xsk: XskQueue) {
    this.host = host;
    this.i32 = host.i32;
    this.queue = queue;
    this.hw = hw;
    this.rx = hw.rx;
    this.tx = hw.tx;
    this.socket = socket;
    this.xsk = xsk;
    this.refs = new Int32Array(hw.rx.size);
    this.batch = new Int32Array(Math.min(BATCH, hw.rx.size >> 2));
    this.pageMask = host.pageSizeBytes - 1;
    this.needsSync = hw.dma !== null && hw.dma.needsSync;
    this.bufferBytes = zeroCopyFrameBytes(xsk.umem.geometry, xsk.hasSg);
  }

  /** Up to `budget` packets from the hardware to the RX ring. Returns how many. */
  receive(budget: number): number {
    const { rx, i32, refs } = this;
    const { mask, descsAt } = rx;
    const end = rx.completed;
    let index = rx.cleaned;
    let work = 0;
    let head = 0 as NetmemRef | 0;
    while (index !== end && work < budget) {
      const ref = refs[index & mask]! as NetmemRef;
      const d = descsAt + ((index & mask) << 2);
      index = (index + 1) | 0;
      this.takeBuffer(ref, i32[d + LENGTH]!);
      if (head === 0) head = ref;
      else this.xsk.buffs.addFrag(head, ref);
      if ((i32[d + FLAGS]! & EOP) === 0) continue;
      work++;
      if ((i32[d + FLAGS]! & ERROR) === 0) xskRcvZc(this.socket, head);
      else this.dropBroken(head);
      head = 0;
    }
    rx.cleaned = index;
    if (work > 0) xskFlush(this.socket);
    return work;
  }

  /** Posts buffers of the fill ring to the hardware, in batches, and says whether it wants to be told of more. */
  refill(): void {
    const { rx, batch } = this;
    const { buffs } = this.xsk;
    let isShort = false;
    for (let room = rx.room; room >= batch.length && !isShort; room -= batch.length) {
      const n = buffs.allocBulk(batch, batch.length);
      for (let k = 0; k < n; k++) this.post(batch[k]! as NetmemRef);
      isShort = n < batch.length;
    }
    this.xsk.setRxNeedWakeup(isShort);
  }

  /** Completes what the hardware has sent, then gives it what is in the TX ring. */
  transmit(): void {
    this.clean();
    const { tx, hw } = this;
    const peek = this.xsk.tx;
    for (let room = tx.room; room > 0; room = tx.room) {
      const n = peek.peekBatch(room < BATCH ? room : BATCH);
      if (n === 0) break;
      for (let k = 0; k < n; k++) this.postTx(peek.offsets[k]!, peek.lengths[k]!, peek.options[k]!);
    }
    if (tx.completed !== tx.producer) hw.txEngine.doorbell();
    this.clean();
    // While the hardware is busy its interrupt will look again.
    this.xsk.setTxNeedWakeup(tx.completed === tx.producer);
  }

  /** The socket's owner kicked (`ndo_xsk_wakeup`). */
  wakeup(): void {
    if (this.isStopped) return;
    this.refill();
    this.transmit();
  }

  /** Takes back what the hardware has; it is stopped from using it right after. */
  stop(): void {
    const { rx } = this;
    this.isStopped = true;
    for (let index = rx.cleaned; index !== rx.producer; index = (index + 1) | 0) {
      this.xsk.buffs.free(this.refs[index & rx.mask]! as NetmemRef);
    }
    this.hw.disable();
  }

  private takeBuffer(ref: NetmemRef, lenBytes: number): void {
    const { buffs, umem } = this.xsk;
    buffs.setSize(ref, lenBytes);
    if (this.needsSync) buffs.dma?.syncForCpu(buffs.dataOf(ref) - umem.offset, lenBytes);
  }

  private dropBroken(head: NetmemRef): void {
    this.queue.counters.add(QueueCounter.RxBroken, 1);
    this.xsk.buffs.freePacket(head);
  }

  private post(ref: NetmemRef): void {
    const { rx, refs } = this;
    const { buffs } = this.xsk;
    refs[rx.producer & rx.mask] = ref;
    buffs.setSize(ref, 0);
    rx.post(buffs.pfnOf(ref), buffs.dataOf(ref) & this.pageMask, this.bufferBytes, 0);
  }

  private postTx(offset: number, lenBytes: number, options: number): void {
    const { umem, buffs } = this.xsk;
    const { dma } = buffs;
    const at = offset - umem.offset;
    if (this.needsSync) dma?.syncForDevice(at, lenBytes);
    const pfn = dma === null ? offset >>> this.host.pageShift : dma.pfnAt(at);
    this.tx.post(pfn, offset & this.pageMask, lenBytes, (options & CONTD) === 0 ? EOP : 0);
  }

  private clean(): void {
    const { tx } = this;
    const sent = (tx.completed - tx.cleaned) | 0;
    if (sent === 0) return;
    tx.cleaned = tx.completed;
    this.xsk.tx.completed(sent);
  }
}

/*
 * data path
 *
 * The kernel's side of receiving: packets into buffers of the fill ring and descriptors into the RX ring. Calls return 0
 * or an errno negated; what they filled is seen by the user after a flush.
 */
import type { NetmemRef } from "@netmem/core";
import { DescOption, Errno } from "../abi.ts";
import type { DescProducer } from "../desc-ring.ts";
import { XSK_BUFF_HAS_FRAGS, type XskBuffPool } from "../xsk-buff-pool.ts";
import type { XskQueue } from "./xsk-queue.ts";
import type { XskSocket } from "./xsk-socket.ts";

const CONTD = DescOption.PktContd;
const HAS_FRAGS = XSK_BUFF_HAS_FRAGS;
const ENXIO = -Errno.ENXIO;
const EINVAL = -Errno.EINVAL;
const ENOSPC = -Errno.ENOSPC;
const ENOMEM = -Errno.ENOMEM;
const ENOBUFS = -Errno.ENOBUFS;

/**
 * A packet for the socket, in copy mode: `lenBytes` bytes at `at` of `source`, with `metaBytes` of metadata in front of them.
 * Longer ones take several buffers, all or nothing (`xsk_rcv`).
 */
export function xskRcv(
  socket: XskSocket,
  ifindex: number,
  queueIdx: number,
  source: Uint8Array,
  at: number,
  lenBytes: number,
  metaBytes: number,
): number {
  const { queue, rx } = socket;
  if (queue === null || rx === null) return ENXIO;
  if (queue.device.ifindex !== ifindex || queue.queueIdx !== queueIdx) return EINVAL;
  if (lenBytes > queue.frameBytes) return rcvMany(socket, queue, rx, source, at, lenBytes, metaBytes);
  const { buffs } = queue;
  const ref = buffs.allocNetmem();
  if (ref === 0) return drop(socket, ENOMEM);
  if (rx.room(1) === 0) {
    socket.rxQueueFull++;
    buffs.free(ref);
    return ENOBUFS;
  }
  const data = buffs.dataOf(ref);
  copyTo(queue.host.u8, data - metaBytes, source, at - metaBytes, lenBytes + metaBytes);
  place(rx, buffs, ref, data, lenBytes, 0);
  return 0;
}

/**
 * A packet that lies in buffers of the queue's own pool: it goes to the user without a copy. With fragments, `head` is its
 * first buffer and the rest is on the pool's list. Without room in the RX ring all of it is freed (`xsk_rcv_zc`).
 * @throws a misuse error for a buffer that is not live or that somebody else holds; the packet is still the caller's then.
 */
export function xskRcvZc(socket: XskSocket, head: NetmemRef): number {
  const { queue, rx } = socket;
  if (queue === null || rx === null) return ENXIO;
  const { buffs } = queue;
  const frags = (buffs.flagsOf(head) & HAS_FRAGS) === 0 ? 0 : buffs.pendingFrags;
  if (rx.room(frags + 1) < frags + 1) {
    socket.rxQueueFull++;
    buffs.freePacket(head);
    return ENOBUFS;
  }
  if (frags > 0) buffs.checkDeliverable(head);
  place(rx, buffs, head, buffs.dataOf(head), buffs.lenOf(head), frags === 0 ? 0 : CONTD);
  for (let n = 1; n <= frags; n++) {
    const ref = buffs.takeFrag() as NetmemRef;
    place(rx, buffs, ref, buffs.dataOf(ref), buffs.lenOf(ref), n === frags ? 0 : CONTD);
  }
  return 0;
}

/** Shows the user what was received, and which fill entries were used (`xsk_flush`). Once per poll. */
export function xskFlush(socket: XskSocket): void {
  if (socket.queue === null || socket.rx === null) return;
  socket.rx.submit();
  socket.queue.buffs.fill?.publish();
  if (socket.onReadable !== null) socket.onReadable();
}

function drop(socket: XskSocket, error: number): number {
  socket.rxDropped++;
  return error;
}

function rcvMany(
  socket: XskSocket,
  queue: XskQueue,
  rx: DescProducer,
  source: Uint8Array,
  at: number,
  lenBytes: number,
  metaBytes: number,
): number {
  if (!queue.hasSg) return drop(socket, ENOSPC);
  const { buffs, frameBytes } = queue;
  const count = ((lenBytes + frameBytes - 1) / frameBytes) | 0;
  if (!buffs.canAlloc(count)) return drop(socket, ENOMEM);
  if (rx.room(count) < count) {
    socket.rxQueueFull++;
    return ENOBUFS;
  }
  const head = allocChain(buffs, count);
  if (head === 0) return drop(socket, ENOMEM);
  let done = 0;
  for (let n = 0; n < count; n++) {
    const ref = n === 0 ? head : (buffs.takeFrag() as NetmemRef);
    const piece = lenBytes - done < frameBytes ? lenBytes - done : frameBytes;
    const meta = n === 0 ? metaBytes : 0;
    const data = buffs.dataOf(ref);
    copyTo(queue.host.u8, data - meta, source, at + done - meta, piece + meta);
    place(rx, buffs, ref, data, piece, n === count - 1 ? 0 : CONTD);
    done += piece;
  }
  return 0;
}

/** `count` buffers, the first returned and the others on the list; 0 and none when there are fewer. */
function allocChain(buffs: XskBuffPool, count: number): NetmemRef | 0 {
  const head = buffs.allocNetmem();
  if (head === 0) return 0;
  for (let n = 1; n < count; n++) {
    const ref = buffs.allocNetmem();
    if (ref !== 0 && buffs.addFrag(head, ref)) continue;
    if (ref !== 0) buffs.free(ref);
    buffs.freePacket(head);
    return 0;
  }
  return head;
}

/** A descriptor for the user; the buffer is not the kernel's any more. There is room. */
function place(
  rx: DescProducer,
  buffs: XskBuffPool,
  ref: NetmemRef,
  data: number,
  lenBytes: number,
  options: number,
): void {
  const { geometry } = buffs;
  const start = buffs.startOf(ref);
  buffs.deliver(ref);
  if (geometry.isAligned) rx.put(data - geometry.offset, 0, lenBytes, options);
  else rx.put(start - geometry.offset, (data - start) << 16, lenBytes, options);
}

function copyTo(u8: Uint8Array, to: number, source: Uint8Array, at: number, lenBytes: number): void {
  if (source === u8) {
    u8.copyWithin(to, at, at + lenBytes);
    return;
  }
  for (let n = 0; n < lenBytes; n++) u8[to + n] = source[at + n]!;
}

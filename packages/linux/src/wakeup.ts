/*
 * data path: the calls that are made once per burst. No structure is built: addresses are Numbers, flags constants.
 *
 *   pollfd   word 0  file descriptor (-1: skipped)
 *            word 1  events asked for, low half; events seen, high half
 */
import { checkInt } from "@netmem/core";
import type { NativeFunction } from "./koffi.ts";
import type { NativeBytes } from "./native-bytes.ts";
import { MSG_DONTWAIT as MSG_DONTWAIT_FLAG } from "./socket-abi.ts";
import type { System } from "./system.ts";

const MSG_DONTWAIT = MSG_DONTWAIT_FLAG;
const POLLFD_BYTES = 8;
const EVENTS_MASK = 0xffff;

/** File descriptors to wait for together. Slots are numbered from 0 in the order in which they were added. */
export class PollSet {
  declare readonly i32: Int32Array;
  declare readonly address: number;
  declare count: number;
  declare private readonly bytes: NativeBytes;

  /** @internal Use {@link Wakeup.createPollSet}. */
  constructor(bytes: NativeBytes) {
    this.i32 = new Int32Array(bytes.u8.buffer);
    this.address = bytes.address;
    this.count = 0;
    this.bytes = bytes;
  }

  /** Control path. Takes the next slot for `fd` and the events `POLLIN` / `POLLOUT`; returns its number. */
  add(fd: number, events: number): number {
    const slot = this.count;
    checkInt("slots", slot + 1, 1, this.bytes.byteLength / POLLFD_BYTES);
    this.i32[2 * slot] = fd;
    this.i32[2 * slot + 1] = events & EVENTS_MASK;
    this.count = slot + 1;
    return slot;
  }

  /** Changes what a slot waits for; 0 waits for errors alone. */
  setEvents(slot: number, events: number): void {
    this.i32[2 * slot + 1] = events & EVENTS_MASK;
  }

  /** What the last poll saw for a slot: POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL. */
  seen(slot: number): number {
    return this.i32[2 * slot + 1]! >>> 16;
  }
}

/** The calls per burst. One per thread; each call returns what the kernel returns, or `-errno`. */
export class Wakeup {
  declare private readonly sendto: NativeFunction;
  declare private readonly recvfrom: NativeFunction;
  declare private readonly pollCall: NativeFunction;
  declare private readonly errno: () => number;
  declare private readonly one: PollSet;
  declare private readonly system: System;

  constructor(system: System) {
    this.sendto = system.libc.sendto;
    this.recvfrom = system.libc.recvfrom;
    this.pollCall = system.libc.poll;
    this.errno = system.koffi.errno;
    this.system = system;
    this.one = this.createPollSet(1);
    this.one.add(-1, 0);
  }

  /** Control path. Room for `slots` file descriptors. */
  createPollSet(slots: number): PollSet {
    return new PollSet(this.system.allocBytes(checkInt("slots", slots, 1, 4096) * POLLFD_BYTES));
  }

  /** Asks the kernel to transmit what is in the socket's TX ring. `-EAGAIN`, `-EBUSY` and `-ENOBUFS` mean: later again. */
  kickTx(fd: number): number {
    const sent = this.sendto(fd, 0, 0, MSG_DONTWAIT, 0, 0);
    return sent < 0 ? -this.errno() : sent;
  }

  /** Asks the kernel to fill the socket's RX ring, where the fill ring's need-wakeup flag is set. */
  kickRx(fd: number): number {
    const received = this.recvfrom(fd, 0, 0, MSG_DONTWAIT, 0, 0);
    return received < 0 ? -this.errno() : received;
  }

  /** Waits for one descriptor. Returns the events seen, 0 after `timeoutMs` (-1: no end), `-EINTR` after a signal. */
  pollOne(fd: number, events: number, timeoutMs: number): number {
    const { one } = this;
    one.i32[0] = fd;
    one.i32[1] = events;
    const ready = this.pollCall(one.address, 1, timeoutMs);
    if (ready < 0) return -this.errno();
    return ready === 0 ? 0 : one.seen(0);
  }

  /** Waits for any of a set. Returns how many slots have events, see {@link PollSet.seen}; 0 after `timeoutMs`. */
  poll(set: PollSet, timeoutMs: number): number {
    const ready = this.pollCall(set.address, set.count, timeoutMs);
    return ready < 0 ? -this.errno() : ready;
  }
}

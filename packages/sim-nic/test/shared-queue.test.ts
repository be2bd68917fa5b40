import type { Host } from "@netmem/core";
import { createDirectDevice } from "@netmem/dma";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type AttachedNicQueue,
  attachNicQueue,
  DESC_FLAGS,
  DESC_LENGTH,
  DescFlag,
  type SharedNicQueue,
  SimNic,
} from "../src/index.ts";
import { makeHost, postPages, takePage } from "./fixture.ts";

/* Both ends on one thread: what must be the same wherever they are. */

const JUST_BELOW_WRAP = 0xfffffffc;
const ROOM = 2048;
const frame = Uint8Array.from({ length: 60 }, (_, n) => n);
let host: Host;
let nic: SimNic;
let hardware: SharedNicQueue;
let queue: AttachedNicQueue;
let wakeAt: number;

/** Posts pages; the hardware does not know yet. */
const post = (count: number): number[] => postPages(host, queue, count, ROOM, 0);

function receive(count: number): number {
  const offsets = new Int32Array(count);
  return nic.receiveBurst(frame, offsets, new Int32Array(count).fill(frame.length), count);
}

describe.each([0, JUST_BELOW_WRAP])("a queue driven from elsewhere, indices from %i", (startIndex) => {
  beforeEach(() => {
    host = makeHost();
    nic = new SimNic(host, { queueCount: 1, rxDescCount: 16, txDescCount: 8, startIndex });
    wakeAt = host.heap.allocWords(16);
    hardware = nic.shareQueue(0);
    queue = attachNicQueue(host, hardware.start(wakeAt));
  });

  test("the hardware uses what the driver posted once it was shown, and the driver sees packets once they were", () => {
    post(4);
    expect(receive(1)).toBe(0);
    queue.leave();
    expect([queue.hasWork(), queue.enter()]).toEqual([true, true]);
    expect(queue.rx.completed).toBe(queue.rx.cleaned);
    expect(receive(3)).toBe(3);
    expect(queue.rx.completed).toBe(queue.rx.cleaned);
    expect([queue.hasWork(), queue.enter(), queue.enter(), queue.hasWork()]).toEqual([true, true, false, false]);
    expect((queue.rx.completed - queue.rx.cleaned) | 0).toBe(3);
    const d = queue.rx.descAt(queue.rx.cleaned);
    expect([host.i32[d + DESC_LENGTH], host.i32[d + DESC_FLAGS]]).toEqual([60, DescFlag.Eop]);
    expect(host.u8[(host.i32[d]! << host.pageShift) + 59]).toBe(59);
  });

  test("the ring goes around: every slot is used again and again", () => {
    for (let round = 0; round < 20; round++) {
      post(queue.rx.room);
      queue.leave();
      expect(receive(16)).toBe(16);
      queue.enter();
      queue.rx.cleaned = queue.rx.completed;
    }
    expect(nic.getStats()).toMatchObject({ rxPackets: 320, rxNoDesc: 0 });
  });

  test("a dropped packet is an event too, so that a driver without memory tries again", () => {
    expect(receive(1)).toBe(0);
    expect(queue.enter()).toBe(true);
    nic.service();
    expect(queue.enter()).toBe(false);
  });

  test("packets to send go out at the next service, and their completions come back", () => {
    const sent: number[] = [];
    nic.setWire((_bytes, _offsets, lengths, count) => sent.push(...lengths.subarray(0, count)));
    const page = takePage(host);
    for (const len of [60, 100]) queue.tx.post(host.pageIdxAt(host.offsetOf(page)), 0, len, DescFlag.Eop);
    nic.service();
    expect(sent).toEqual([]);
    queue.txEngine.doorbell();
    expect([nic.service(), nic.service()]).toEqual([true, false]);
    expect(sent).toEqual([60, 100]);
    queue.enter();
    expect(queue.tx.completed).toBe(queue.tx.producer);
  });

  test("stopped, the hardware touches nothing; started again, the rings are empty", () => {
    post(4);
    queue.leave();
    nic.service();
    hardware.stop();
    expect([receive(2), nic.service()]).toEqual([0, false]);
    expect(nic.getStats().rxNoDesc).toBe(2);
    const again = attachNicQueue(host, hardware.start(wakeAt));
    expect([again.rx.room, again.enter(), receive(1)]).toEqual([16, false, 0]);
    expect(again.rx.producer).toBe((startIndex + 4) | 0);
  });

  test("mistakes are coded errors", () => {
    expect(() => hardware.start(wakeAt)).toThrow("ERR_NETMEM_QUEUE_RUNNING");
    // Whoever asks again gets the same one: two would empty each other's rings.
    expect(() => nic.shareQueue(0).start(wakeAt)).toThrow("ERR_NETMEM_QUEUE_RUNNING");
    expect(() => nic.shareQueue(1)).toThrow("ERR_NETMEM_INVALID_PARAM");
    expect(() => queue.setHeaderSplit(0)).toThrow("ERR_NETMEM_INVALID_PARAM");
    const behind = new SimNic(host, { queueCount: 1, dma: createDirectDevice(host) });
    expect(() => behind.shareQueue(0)).toThrow("ERR_NETMEM_INVALID_PARAM");
  });

  test("disposing of the NIC gives every word back", () => {
    const before = host.pages.freePageCount();
    const other = new SimNic(host, { queueCount: 1 });
    other.shareQueue(0).start(wakeAt);
    other.dispose();
    expect(host.pages.freePageCount()).toBe(before);
  });
});

test("headers and payload of a shared queue go to two rings", () => {
  host = makeHost();
  nic = new SimNic(host, { queueCount: 1, rxDescCount: 8, dataDescCount: 8 });
  queue = attachNicQueue(host, nic.shareQueue(0).start(host.heap.allocWords(16)));
  queue.setHeaderSplit(0);
  post(2);
  const data = takePage(host);
  queue.rxData?.post(host.pageIdxAt(host.offsetOf(data)), 0, ROOM, 0);
  queue.leave();
  const udp = new Uint8Array(142).fill(9);
  udp.set([0x08, 0, 0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17], 12);
  udp.set([0, 108], 38);
  expect(nic.receiveBurst(udp, new Int32Array(1), Int32Array.of(udp.length), 1)).toBe(1);
  queue.enter();
  expect(nic.getStats().rxSplit).toBe(1);
  expect((queue.rxData!.completed - queue.rxData!.cleaned) | 0).toBe(1);
  expect(host.i32[queue.rx.descAt(queue.rx.cleaned) + DESC_FLAGS]! & DescFlag.Split).not.toBe(0);
  queue.disable();
  expect([queue.rx.room, queue.rxData?.room]).toEqual([8, 8]);
});

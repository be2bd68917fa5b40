import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MemType } from "@netmem/core";
import {
  asFrameRef,
  FRAG_REF,
  fragAt,
  FRAME_REF,
  frameHasFrags,
  frameSharedInfoAt,
  memTypeOf,
  SHINFO_NR_FRAGS,
} from "@netmem/skb";
import { expect, test } from "vitest";
import { closeStand, makeStand, type Stand, writeForwarded, writePacket } from "../stand.ts";

const bytes = new Uint8Array(9000);

/** Memory types of a frame's buffers, head first. */
function typesOf({ host }: Stand, frame: number): number[] {
  const ref = asFrameRef(frame);
  const types = [host.i32[ref + FRAME_REF]];
  if (frameHasFrags(host, ref)) {
    const shinfo = frameSharedInfoAt(host, ref);
    for (let n = 0; n < host.i32[shinfo + SHINFO_NR_FRAGS]!; n++) types.push(host.i32[fragAt(shinfo, n) + FRAG_REF]);
  }
  return types.map((buffer) => memTypeOf(host, buffer as Parameters<typeof memTypeOf>[1]));
}

test("frames of several types leave by the other port, byte for byte, and every buffer goes home", () => {
  const stand = makeStand();
  const [left, right] = stand.ports;
  const mixes = new Set<string>();
  const xmit = right.driver.xdpXmit.bind(right.driver);
  right.driver.xdpXmit = (frames, n) => {
    for (const frame of frames.subarray(0, n)) mixes.add(typesOf(stand, frame).join());
    return xmit(frames, n);
  };
  const sent: Uint8Array[] = [];
  right.onSent = (frame) => sent.push(frame.slice());
  for (let n = 0; n < 600; n++) {
    left.nic.receive(bytes, 0, writePacket(bytes, 1, n, 18 + n * 7));
    if (n % 16 === 15) stand.scheduler.runUntilIdle();
  }
  stand.scheduler.runUntilIdle();
  expect(sent).toHaveLength(600);
  for (const [n, frame] of sent.entries()) {
    const len = writeForwarded(bytes, 1, n, 18 + n * 7);
    expect(Buffer.compare(frame, bytes.subarray(0, len))).toBe(0);
  }
  // Heads of both types, and fragments of the other one behind them.
  expect(mixes).toContain(`${MemType.PagePool}`);
  expect([...mixes].some((mix) => mix.startsWith(`${MemType.PageOrder0},${MemType.PagePool}`))).toBe(true);
  expect(
    [...mixes].some((mix) => mix.startsWith(`${MemType.PagePool},${MemType.PagePool},${MemType.PageOrder0}`)),
  ).toBe(true);
  expect(closeStand(stand)).toBe(0);
});

test("a network without a place in the map is dropped; one whose device is closed too, and counted", () => {
  const stand = makeStand();
  const [left, right] = stand.ports;
  left.nic.receive(bytes, 0, writePacket(bytes, 3, 0, 2000));
  stand.scheduler.runUntilIdle();
  expect(left.device.getStats()[0]).toMatchObject({ xdpDrop: 1, xdpRedirect: 0 });
  right.device.close();
  left.nic.receive(bytes, 0, writePacket(bytes, 1, 0, 2000));
  stand.scheduler.runUntilIdle();
  expect(left.device.getStats()[0]).toMatchObject({ xdpRedirect: 1, xmitErrors: 1 });
  expect(closeStand(stand)).toBe(0);
});

test("a packet that ends before its address is dropped, not forwarded by what an earlier one left in the buffer", () => {
  const stand = makeStand();
  const [left] = stand.ports;
  for (let n = 0; n < 600; n++) {
    left.nic.receive(bytes, 0, writePacket(bytes, 1, n, 100));
    if (n % 16 === 15) stand.scheduler.runUntilIdle();
  }
  stand.scheduler.runUntilIdle();
  const before = left.device.getStats()[0]!;
  left.nic.receive(bytes, 0, 32);
  stand.scheduler.runUntilIdle();
  const { xdpDrop, xdpRedirect } = left.device.getStats()[0]!;
  expect([xdpDrop - before.xdpDrop, xdpRedirect - before.xdpRedirect]).toEqual([1, 0]);
  expect(closeStand(stand)).toBe(0);
});

test("a port that is closed with frames of the other one queued sends their buffers home", () => {
  const stand = makeStand();
  const [left, right] = stand.ports;
  right.nic.pauseTx(true);
  for (let n = 0; n < 20; n++) left.nic.receive(bytes, 0, writePacket(bytes, 1, n, 1500));
  stand.scheduler.runUntilIdle();
  expect(right.device.getStats()[0]).toMatchObject({ txPackets: 20 });
  expect(closeStand(stand)).toBe(0);
});

test("a port that does not start leaves no pool behind", () => {
  const stand = makeStand();
  const [left] = stand.ports;
  const { host, clock } = stand;
  left.device.close();
  clock.advance(5000);
  const before = [host.pools.list().length, host.pages.freePageCount()];
  const regMemModel = host.mem.regMemModel.bind(host.mem);
  host.mem.regMemModel = () => {
    throw new Error("no more ids");
  };
  expect(() => left.device.open()).toThrow("no more ids");
  host.mem.regMemModel = regMemModel;
  clock.advance(5000);
  expect([host.pools.list().length, host.pages.freePageCount()]).toEqual(before);
  left.device.open();
  expect(closeStand(stand)).toBe(0);
});

test("kernelFrames: packets of one type pass, those that mix types are refused, counted and dropped", () => {
  const stand = makeStand({ kernelFrames: true });
  const [left, right] = stand.ports;
  let sent = 0;
  right.onSent = () => sent++;
  for (let n = 0; n < 30; n++) left.nic.receive(bytes, 0, writePacket(bytes, 1, n, 100));
  stand.scheduler.runUntilIdle();
  // The queue's type is page_pool: two of three buffers are, in turn.
  expect([left.device.getStats()[0]!.frameErrors, sent]).toEqual([10, 20]);
  left.nic.receive(bytes, 0, writePacket(bytes, 1, 0, 1400));
  stand.scheduler.runUntilIdle();
  expect([left.device.getStats()[0]!.frameErrors, sent]).toEqual([11, 20]);
  expect(closeStand(stand)).toBe(0);
});

test("the example runs", () => {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/pages missing after close: 0\n.*[1-9]\d* of 50000 packets refused/);
});

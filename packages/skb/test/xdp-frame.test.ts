import { type Host, idxOf, MemType, type PageRef } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import {
  asFrameRef,
  convertBuffToFrame,
  FRAME_HASH,
  FRAME_HEADROOM,
  FRAME_IFINDEX,
  FRAME_MEM_TYPE,
  FRAME_METASIZE,
  FRAME_QUEUE,
  FRAME_REF,
  frameData,
  frameHasFrags,
  frameLen,
  type FrameRef,
  returnFrame,
  returnFrameBulk,
  returnFrameRxNapi,
  XdpBuff,
} from "../src/index.ts";
import { expectCode, makeHost, makeRxq, NotingOwner, wordAt } from "./fixture.ts";

let host: Host;
let owner: NotingOwner;
let xdp: XdpBuff;
let head: PageRef;

beforeEach(() => {
  host = makeHost();
  owner = new NotingOwner(host, "pool H");
  xdp = new XdpBuff(host, makeRxq(MemType.PagePool), 4096);
  head = owner.allocPage();
  xdp.prepare(head, host.offsetOf(head), 256, 100);
});

function frameOf(buff: XdpBuff): FrameRef {
  const frame = convertBuffToFrame(buff);
  if (frame === 0) throw new Error("no frame");
  return frame;
}

describe("convertBuffToFrame", () => {
  test("writes the record at the start of the packet's own buffer", () => {
    xdp.hash = 0x1234;
    xdp.adjustMeta(-8);
    const frame = frameOf(xdp);
    expect(frame * 4).toBe(host.offsetOf(head));
    const words = (at: number): number => wordAt(host, frame + at);
    expect([words(FRAME_REF), words(FRAME_HEADROOM), words(FRAME_METASIZE)]).toEqual([head, 216, 8]);
    expect([words(FRAME_MEM_TYPE), words(FRAME_IFINDEX), words(FRAME_QUEUE), words(FRAME_HASH)]).toEqual([
      2, 7, 3, 0x1234,
    ]);
    expect([frameData(host, frame), frameLen(host, frame)]).toEqual([xdp.data, 100]);
    expect(frameHasFrags(host, frame)).toBe(false);
  });

  test("metadata leaves 40 bytes of headroom for the record", () => {
    expect(xdp.adjustMeta(-216)).toBe(true);
    expect(convertBuffToFrame(xdp)).not.toBe(0);
    // A driver with less headroom: adjustMeta would not get there.
    xdp.dataMeta = xdp.data - 220;
    expect(convertBuffToFrame(xdp)).toBe(0);
    expect(owner.returned).toEqual([]);
  });

  test("a packet that reaches into the shared info is no frame", () => {
    xdp.dataEnd = xdp.dataHardStart + 4096 - 320;
    expect(convertBuffToFrame(xdp)).not.toBe(0);
    xdp.dataEnd++;
    expect(convertBuffToFrame(xdp)).toBe(0);
  });

  test("a head buffer that does not start on a word is no frame", () => {
    xdp.prepare(head, host.offsetOf(head) + 2, 256, 100);
    expect(convertBuffToFrame(xdp)).toBe(0);
  });
});

describe("returnFrame", () => {
  test("fragments in order, then head, each to its own owner whatever the queue's type", () => {
    const log: number[] = [];
    const first = new NotingOwner(host, "pool A", log);
    const second = new NotingOwner(host, "xsk", log, MemType.XskBuffPool);
    const free = host.pages.freePageCount();
    const plain = host.pages.allocPages(0) as PageRef;
    const buff = new XdpBuff(host, makeRxq(MemType.PageOrder0), 4096);
    const refs = [second.allocPage(), first.allocPage(), first.allocPage()] as const;
    buff.prepare(refs[2], host.offsetOf(refs[2]), 256, 60);
    buff.addFrag(refs[0], 0, 1000, 4096);
    buff.addFrag(plain, 0, 1000, 4096);
    buff.addFrag(refs[1], 0, 1000, 4096);
    const frame = frameOf(buff);
    expect([frameLen(host, frame), frameHasFrags(host, frame)]).toEqual([3060, true]);
    returnFrame(host, frame);
    expect(log).toEqual([refs[0], refs[1], refs[2]]);
    expect(first.directs).toEqual([false, false]);
    expect(host.pages.freePageCount()).toBe(free - 3);
  });

  test("returnFrameRxNapi promises the owner's poll, unless the context takes that back", () => {
    returnFrameRxNapi(host, frameOf(xdp));
    const next = owner.allocPage();
    xdp.prepare(next, host.offsetOf(next), 256, 60);
    xdp.addFrag(owner.allocPage(), 0, 8, 8);
    host.context.noDirect = true;
    returnFrameRxNapi(host, frameOf(xdp));
    expect(owner.directs).toEqual([true, false, false]);
  });

  test("a frame returned twice is a double put", () => {
    const frame = frameOf(xdp);
    returnFrame(host, frame);
    expectCode(() => returnFrame(host, frame), "ERR_NETMEM_DOUBLE_PUT");
    expect(owner.returned).toHaveLength(1);
  });
});

describe("returnFrameBulk", () => {
  test("returns all of them at once, and names the one that is not live", () => {
    const frames = new Int32Array(5);
    for (let n = 0; n < 5; n++) {
      const page = owner.allocPage();
      xdp.prepare(page, host.offsetOf(page), 256, 60);
      if (n % 2 === 0) xdp.addFrag(owner.allocPage(), 0, 8, 8);
      frames[n] = frameOf(xdp);
    }
    returnFrameBulk(host, frames, 2);
    expect(owner.returned).toHaveLength(3);
    const error = expectCode(() => returnFrameBulk(host, frames.subarray(1), 4), "ERR_NETMEM_DOUBLE_PUT");
    expect(error).toMatchObject({ param: "refs[0]" });
    returnFrameBulk(host, frames.subarray(2), 3);
    expect(owner.returned).toHaveLength(3 + 5);
    const idx = idxOf(owner.returned.at(-1) as PageRef);
    expect(asFrameRef(frames.at(4) ?? 0)).toBe((idx * 4096) / 4);
  });
});

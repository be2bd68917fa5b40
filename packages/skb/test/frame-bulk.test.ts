import { type Host, MemType, type NetmemRef, type PageRef } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import { convertBuffToFrame, FRAME_BULK_SIZE, FrameBulk, type FrameRef, returnFrame, XdpBuff } from "../src/index.ts";
import { expectCode, makeHost, makeRxq, NotingOwner } from "./fixture.ts";

let host: Host;
let log: number[];
let owner: NotingOwner;
let xdp: XdpBuff;
let bulk: FrameBulk;

beforeEach(() => {
  host = makeHost();
  log = [];
  owner = new NotingOwner(host, "pool H", log);
  xdp = new XdpBuff(host, makeRxq(MemType.PagePool), 4096);
  bulk = new FrameBulk(host);
});

function makeFrame(...frags: NetmemRef[]): FrameRef {
  const head: PageRef = owner.allocPage();
  xdp.prepare(head, host.offsetOf(head), 256, 60);
  for (const ref of frags) xdp.addFrag(ref, 0, 100, 4096);
  return convertBuffToFrame(xdp) as FrameRef;
}

const makeFragged = (count: number): FrameRef => makeFrame(...Array.from({ length: count }, () => owner.allocPage()));

describe("what waits, and when it goes home", () => {
  test("#223 16 frames wait; the 17th sends them home and waits itself; a flush returns the last", () => {
    bulk.begin();
    for (let n = 0; n < FRAME_BULK_SIZE; n++) bulk.add(makeFrame());
    expect([bulk.count, log.length]).toEqual([16, 0]);
    bulk.add(makeFrame());
    expect([bulk.count, log.length]).toEqual([1, 16]);
    bulk.flush();
    expect([bulk.count, log.length]).toEqual([0, 17]);
    bulk.flush();
    expect(owner.directs.includes(true)).toBe(false);
  });

  test("#224 frames of 3 fragments and a head: four fill it, the fifth flushes first", () => {
    bulk.begin();
    for (let n = 0; n < 4; n++) bulk.add(makeFragged(3));
    expect([bulk.count, log.length]).toEqual([16, 0]);
    bulk.add(makeFragged(3));
    expect([bulk.count, log.length]).toEqual([4, 16]);
  });

  test("#224 frames of 4 fragments and a head: the 16th entry is a fragment of the fourth, which is split", () => {
    bulk.begin();
    for (let n = 0; n < 3; n++) bulk.add(makeFragged(4));
    expect([bulk.count, log.length]).toEqual([15, 0]);
    bulk.add(makeFragged(4));
    expect([bulk.count, log.length]).toEqual([4, 16]);
    bulk.end();
    expect(log).toHaveLength(20);
  });

  test("a frame of 17 fragments is more than a batch", () => {
    bulk.begin();
    bulk.add(makeFragged(17));
    expect([bulk.count, log.length]).toEqual([2, 16]);
    bulk.end();
    expect(new Set(log).size).toBe(18);
  });

  test("buffers of all types wait alike, and each goes to its own owner in order", () => {
    const xsk = new NotingOwner(host, "xsk", log, MemType.XskBuffPool);
    const free = host.pages.freePageCount();
    const refs = [xsk.allocPage(), host.pages.allocPages(0) as PageRef, owner.allocPage()];
    bulk.begin();
    bulk.add(makeFrame(...refs));
    expect([bulk.count, log]).toEqual([4, []]);
    bulk.end();
    expect(xsk.returned).toEqual([refs[0]]);
    expect(owner.returned).toEqual([refs[2], xdp.headRef]);
    expect(host.pages.freePageCount()).toBe(free - 3);
  });
});

describe("the last flush cannot be forgotten", () => {
  test("#226 the end of a scope flushes, however it ends", () => {
    expect(() => {
      using scope = bulk.begin();
      scope.add(makeFrame());
      throw new Error("in the middle");
    }).toThrow("in the middle");
    expect([bulk.count, log.length]).toEqual([0, 1]);
    bulk.begin();
    bulk.end();
    bulk.end();
  });

  test("#226 nothing waits outside a scope", () => {
    const frame = makeFrame();
    expect(expectCode(() => bulk.add(frame), "ERR_NETMEM_BULK_CLOSED").errno).toBe("EINVAL");
    bulk.begin().end();
    expectCode(() => bulk.add(frame), "ERR_NETMEM_BULK_CLOSED");
    expect([bulk.count, log]).toEqual([0, []]);
    returnFrame(host, frame);
  });

  test("#226 a scope that was left open is noticed by the next one, and can still be ended", () => {
    bulk.begin().add(makeFrame());
    expect(expectCode(() => bulk.begin(), "ERR_NETMEM_BULK_OPEN")).toMatchObject({ errno: "EBUSY", value: 1 });
    expect(log).toEqual([]);
    bulk.end();
    expect(log).toHaveLength(1);
    bulk.begin();
  });
});

describe("a buffer that is not live", () => {
  test("is refused when it goes home; all the others of its batch are home by then", () => {
    const frames = [makeFrame(), makeFrame(), makeFrame(), makeFrame(), makeFrame()] as const;
    bulk.begin();
    for (const frame of frames) bulk.add(frame);
    returnFrame(host, frames[1]);
    returnFrame(host, frames[3]);
    const error = expectCode(() => bulk.flush(), "ERR_NETMEM_DOUBLE_PUT");
    expect(error).toMatchObject({ param: "refs[1]" });
    expect([bulk.count, new Set(log).size, log.length]).toEqual([0, 5, 5]);
    bulk.end();
  });

  test("a frame added twice: the second is refused, once", () => {
    const frame = makeFrame();
    bulk.begin();
    bulk.add(frame);
    bulk.add(frame);
    expectCode(() => bulk.end(), "ERR_NETMEM_DOUBLE_PUT");
    expect(log).toHaveLength(1);
    bulk.end();
  });

  test("in a batch that ends inside a frame: the frame is taken as a whole nevertheless", () => {
    bulk.begin();
    const dead = makeFrame();
    bulk.add(dead);
    returnFrame(host, dead);
    for (let n = 0; n < 2; n++) bulk.add(makeFragged(4));
    expectCode(() => bulk.add(makeFragged(17)), "ERR_NETMEM_DOUBLE_PUT");
    bulk.end();
    expect([log.length, new Set(log).size]).toEqual([1 + 10 + 18, 29]);
  });

  test("a dead frame with fragments is not taken at all", () => {
    const frame = makeFragged(2);
    returnFrame(host, frame);
    bulk.begin();
    expectCode(() => bulk.add(frame), "ERR_NETMEM_DOUBLE_PUT");
    expect([bulk.count, log.length]).toEqual([0, 3]);
  });
});

import { type Host, MemType, type NetmemRef, type PageRef, type XdpRxqInfo } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import { FRAG_LEN, fragAt, SHINFO_XDP_FRAGS_TRUESIZE, XdpBuff, XdpFlag } from "../src/index.ts";
import { makeHost, makeRxq, markReserve, NotingOwner, withHolders, wordAt } from "./fixture.ts";

const LINEAR = 100;
let host: Host;
let log: number[];
let owner: NotingOwner;
let rxq: XdpRxqInfo;
let xdp: XdpBuff;

beforeEach(() => {
  host = makeHost();
  log = [];
  owner = new NotingOwner(host, "pool H", log);
  rxq = makeRxq(MemType.PagePool);
  xdp = new XdpBuff(host, rxq, 4096);
  const head = owner.allocPage();
  xdp.prepare(head, host.offsetOf(head), 256, LINEAR);
});

function addFrags(...lengths: number[]): PageRef[] {
  return lengths.map((len) => {
    const page = owner.allocPage();
    xdp.addFrag(page, 0, len, 4096);
    return page;
  });
}

const fragLen = (n: number): number => wordAt(host, fragAt(xdp.sharedInfoAt(), n) + FRAG_LEN);
const truesize = (): number => wordAt(host, xdp.sharedInfoAt() + SHINFO_XDP_FRAGS_TRUESIZE);

describe("shrinking a packet with fragments", () => {
  test("shortens the last fragment, and keeps it while a byte is left", () => {
    addFrags(1000, 500);
    expect(xdp.adjustTail(-499)).toBe(true);
    expect([xdp.len, xdp.nrFrags, fragLen(1), truesize(), log]).toEqual([LINEAR + 1001, 2, 1, 8192, []]);
  });

  test("sends fragments that become empty home, from the last, and their size with them", () => {
    const [, second, third] = addFrags(1000, 500, 300);
    expect(xdp.adjustTail(-801)).toBe(true);
    expect(log).toEqual([third, second]);
    expect([xdp.len, xdp.nrFrags, fragLen(0), truesize()]).toEqual([LINEAR + 999, 1, 999, 4096]);
    xdp.returnBuff();
    expect(log).toHaveLength(4);
  });

  test("takes the rest off the linear part, and the packet is one without fragments then", () => {
    const [only] = addFrags(1000);
    expect(xdp.adjustTail(-1050)).toBe(true);
    expect([xdp.len, xdp.flags, xdp.nrFrags, log]).toEqual([50, 0, 0, [only]]);
    expect(xdp.adjustTail(10)).toBe(true);
    expect(xdp.len).toBe(60);
    addFrags(20);
    expect([xdp.len, xdp.nrFrags]).toEqual([80, 1]);
  });

  test("leaves an Ethernet header, and changes nothing otherwise", () => {
    addFrags(1000);
    expect(xdp.adjustTail(-(LINEAR + 1000 - 13))).toBe(false);
    expect([xdp.len, log]).toEqual([LINEAR + 1000, []]);
    expect(xdp.adjustTail(-(LINEAR + 1000 - 14))).toBe(true);
    expect([xdp.len, log.length]).toEqual([14, 1]);
  });

  test("each fragment goes to its own owner, and not as a promise of that owner's poll", () => {
    const other = new NotingOwner(host, "pool D", log, MemType.XskBuffPool);
    const [first] = addFrags(100);
    const second = other.allocPage();
    xdp.addFrag(second, 0, 100, 4096);
    expect(xdp.adjustTail(-200)).toBe(true);
    expect([other.returned, owner.returned]).toEqual([[second], [first]]);
    expect([...other.directs, ...owner.directs]).toEqual([false, false]);
  });

  test("a shared page loses one holder for each piece", () => {
    const page = withHolders(host, owner.allocPage(), 2);
    xdp.addFrag(page, 0, 100, 2048);
    xdp.addFrag(page, 2048, 100, 2048);
    xdp.adjustTail(-100);
    expect(log).toEqual([]);
    xdp.adjustTail(-100);
    expect(log).toEqual([page]);
  });

  test("flags of fragments that are gone are gone", () => {
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    addFrags(100);
    const reserve = owner.allocPage();
    markReserve(host, reserve);
    xdp.addFrag(reserve, 0, 100, 4096);
    xdp.addFrag(owner.claimIov(area, 0), 0, 100, 4096);
    expect(xdp.flags & (XdpFlag.Unreadable | XdpFlag.PfMemalloc)).toBe(XdpFlag.Unreadable | XdpFlag.PfMemalloc);
    xdp.adjustTail(-100);
    expect(xdp.flags).toBe(XdpFlag.HasFrags | XdpFlag.Pooled | XdpFlag.PfMemalloc);
    xdp.adjustTail(-100);
    expect(xdp.flags).toBe(XdpFlag.HasFrags | XdpFlag.Pooled);
  });
});

describe("growing the last fragment", () => {
  test("not at all unless the queue says how far, and never beyond the head's size", () => {
    addFrags(100);
    expect(xdp.adjustTail(1)).toBe(false);
    rxq.fragSizeBytes = 4100;
    expect(xdp.adjustTail(1)).toBe(false);
    rxq.fragSizeBytes = 4096;
    expect(xdp.adjustTail(1)).toBe(true);
  });

  test("up to the end of its stride, with zeros", () => {
    rxq.fragSizeBytes = 2048;
    for (const start of [0, 2048]) {
      const page = withHolders(host, owner.allocPage(), 2) as PageRef;
      const at = host.offsetOf(page) + start;
      host.u8.fill(0xff, host.offsetOf(page), host.offsetOf(page) + 4096);
      const before = xdp.len;
      xdp.addFrag(page, start + 64, 1000, 2048);
      const room = 2048 - 64 - 1000;
      expect(xdp.adjustTail(room + 1)).toBe(false);
      expect(xdp.adjustTail(room)).toBe(true);
      expect([xdp.len, fragLen(xdp.nrFrags - 1)]).toEqual([before + 1000 + room, 1000 + room]);
      expect(host.u8.subarray(at + 1064, at + 2048).every((byte) => byte === 0)).toBe(true);
      expect([host.u8[at + 1063], host.u8[host.offsetOf(page) + ((start + 2048) % 4096)]]).toEqual([0xff, 0xff]);
    }
  });

  test("never beyond its buffer, whatever the stride", () => {
    rxq.fragSizeBytes = 3000;
    const page = withHolders(host, owner.allocPage(), 2);
    xdp.addFrag(page, 3000, 1000, 1096);
    expect(xdp.adjustTail(97)).toBe(false);
    expect(xdp.adjustTail(96)).toBe(true);
  });

  test("not a fragment that was placed across strides", () => {
    rxq.fragSizeBytes = 1024;
    const page = owner.allocPage();
    xdp.addFrag(page, 1000, 500, 2048);
    expect(xdp.adjustTail(1)).toBe(false);
  });

  test("not one that the CPU cannot write", () => {
    rxq.fragSizeBytes = 4096;
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    const ref: NetmemRef = owner.claimIov(area, 0);
    xdp.addFrag(ref, 0, 100, 4096);
    expect([xdp.adjustTail(4), xdp.adjustTail(-4)]).toEqual([false, true]);
  });
});

import { type Host, MemType, type NetmemRef, type PageRef } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import {
  FRAG_LEN,
  FRAG_TRUESIZE,
  fragAt,
  isMetadataLength,
  SHINFO_XDP_FRAGS_TRUESIZE,
  XdpBuff,
  XdpFlag,
} from "../src/index.ts";
import { expectCode, makeHost, makeRxq, NotingOwner, withHolders, markReserve } from "./fixture.ts";

const FRAME_SZ = 2048;
let host: Host;
let owner: NotingOwner;
let xdp: XdpBuff;
let head: PageRef;

beforeEach(() => {
  host = makeHost();
  owner = new NotingOwner(host, "pool H");
  xdp = new XdpBuff(host, makeRxq(MemType.PagePool), FRAME_SZ);
  head = owner.allocPage();
  xdp.prepare(head, host.offsetOf(head), 256, 100);
});

describe("prepare", () => {
  test("says where the packet is and forgets the packet before", () => {
    xdp.addFrag(owner.allocPage(), 0, 10, 64);
    const start = host.offsetOf(head);
    xdp.prepare(head, start, 192, 60);
    expect([xdp.data - start, xdp.dataEnd - start, xdp.dataMeta - start]).toEqual([192, 252, 192]);
    expect([xdp.len, xdp.nrFrags, xdp.flags]).toEqual([60, 0, 0]);
  });
});

describe("addFrag", () => {
  test("adds lengths and true sizes", () => {
    expect(xdp.addFrag(owner.allocPage(), 256, 1000, 4096)).toBe(true);
    expect(xdp.addFrag(owner.allocPage(), 0, 500, 2048)).toBe(true);
    expect([xdp.len, xdp.nrFrags, xdp.flags & XdpFlag.HasFrags]).toEqual([1600, 2, XdpFlag.HasFrags]);
    expect(host.i32[xdp.sharedInfoAt() + SHINFO_XDP_FRAGS_TRUESIZE]).toBe(6144);
  });

  test("takes 17 fragments and leaves the 18th with the caller", () => {
    for (let n = 0; n < 17; n++) expect(xdp.addFrag(owner.allocPage(), 0, 1, 1)).toBe(true);
    const left = owner.allocPage();
    expect(xdp.addFrag(left, 0, 1, 1)).toBe(false);
    xdp.returnBuff();
    expect(owner.returned).toHaveLength(18);
    expect(owner.returned).not.toContain(left);
    expect(xdp.len).toBe(117);
  });

  test("merges a piece that continues the one before in the same netmem and drops one reference", () => {
    const page = withHolders(host, owner.allocPage(), 2);
    xdp.addFrag(page, 0, 1024, 1024);
    expect(xdp.addFrag(page, 1024, 512, 1024)).toBe(true);
    expect([xdp.nrFrags, xdp.len]).toEqual([1, 100 + 1536]);
    const at = fragAt(xdp.sharedInfoAt(), 0);
    expect([host.i32[at + FRAG_LEN], host.i32[at + FRAG_TRUESIZE]]).toEqual([1536, 2048]);
    expect(owner.returned).toEqual([]);
    xdp.returnBuff();
    expect(owner.returned).toEqual([page, head]);
  });

  test("merges also when all 17 places are taken", () => {
    for (let n = 0; n < 16; n++) xdp.addFrag(owner.allocPage(), 0, 1, 1);
    const page = withHolders(host, owner.allocPage(), 2);
    xdp.addFrag(page, 0, 8, 8);
    expect(xdp.addFrag(page, 8, 8, 8)).toBe(true);
    expect(xdp.nrFrags).toBe(17);
  });

  test.each([
    ["with a gap between them", 1025],
    ["that overlap", 1023],
  ])("keeps pieces of one netmem %s apart", (_name, offset) => {
    const page = withHolders(host, owner.allocPage(), 2);
    xdp.addFrag(page, 0, 1024, 1024);
    xdp.addFrag(page, offset, 8, 8);
    expect(xdp.nrFrags).toBe(2);
  });

  test("does not merge an exclusive netmem: there is no second reference to drop", () => {
    const page = owner.allocPage();
    xdp.addFrag(page, 0, 1024, 1024);
    xdp.addFrag(page, 1024, 8, 8);
    expect([xdp.nrFrags, owner.returned.length]).toEqual([2, 0]);
  });

  test("marks unreadable, pfmemalloc and pooled fragments", () => {
    const plain = host.pages.allocPages(0) as PageRef;
    xdp.addFrag(plain, 0, 8, 8);
    expect(xdp.flags).toBe(XdpFlag.HasFrags);
    const reserve = host.pages.allocPages(0) as PageRef;
    markReserve(host, reserve);
    xdp.addFrag(reserve, 0, 8, 8);
    expect(xdp.flags).toBe(XdpFlag.HasFrags | XdpFlag.PfMemalloc);
    const readable = host.areas.add({ name: "xsk", count: 1, pageShift: 12, baseOffset: host.offsetOf(plain) });
    xdp.addFrag(owner.claimIov(readable, 0), 0, 8, 8);
    expect(xdp.flags).toBe(XdpFlag.HasFrags | XdpFlag.PfMemalloc | XdpFlag.Pooled);
    const gpu = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    xdp.addFrag(owner.claimIov(gpu, 0), 0, 8, 8);
    expect(xdp.flags & XdpFlag.Unreadable).toBe(XdpFlag.Unreadable);
  });
});

describe("adjust", () => {
  test("adjustHead leaves the frame record and an Ethernet header alone", () => {
    expect(xdp.adjustHead(-217)).toBe(false);
    expect(xdp.adjustHead(-216)).toBe(true);
    expect(xdp.data - xdp.dataHardStart).toBe(40);
    expect(xdp.adjustHead(216 + 87)).toBe(false);
    expect(xdp.adjustHead(216 + 86)).toBe(true);
    expect(xdp.len).toBe(14);
  });

  test("adjustHead moves metadata along", () => {
    xdp.adjustMeta(-4);
    host.u8.set([1, 2, 3, 4], xdp.dataMeta);
    expect(xdp.adjustHead(-8)).toBe(true);
    expect([...host.u8.subarray(xdp.dataMeta, xdp.data)]).toEqual([1, 2, 3, 4]);
    expect(xdp.adjustHead(-205)).toBe(false);
    expect(xdp.adjustHead(-204)).toBe(true);
  });

  test("adjustTail stops at the shared info, zeroes what it adds, keeps an Ethernet header", () => {
    host.u8.fill(0xff, xdp.dataEnd, xdp.dataEnd + 8);
    expect(xdp.adjustTail(8)).toBe(true);
    expect([...host.u8.subarray(xdp.dataEnd - 8, xdp.dataEnd)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    const room = FRAME_SZ - 320 - 256 - 108;
    expect(xdp.adjustTail(room + 1)).toBe(false);
    expect(xdp.adjustTail(room)).toBe(true);
    expect(xdp.adjustTail(14 - xdp.len - 1)).toBe(false);
    expect(xdp.adjustTail(14 - xdp.len)).toBe(true);
  });

  test("a queue without metadata: no adjustMeta, and the others work as without", () => {
    xdp.refuseMetadata();
    expect([xdp.metaLen, xdp.adjustMeta(-4), xdp.adjustMeta(0)]).toEqual([0, false, false]);
    expect([xdp.adjustHead(-216), xdp.adjustHead(-1), xdp.adjustHead(216)]).toEqual([true, false, true]);
    expect([xdp.metaLen, xdp.adjustMeta(-4)]).toEqual([0, false]);
    xdp.prepare(head, host.offsetOf(head), 256, 100);
    expect([xdp.adjustMeta(-4), xdp.metaLen]).toEqual([true, 4]);
  });

  test("metadata is a multiple of 4 up to 252 bytes", () => {
    expect(xdp.adjustMeta(-3)).toBe(false);
    expect(xdp.adjustMeta(-256)).toBe(false);
    expect(xdp.adjustMeta(4)).toBe(false);
    expect(xdp.adjustMeta(-216)).toBe(true);
    expect(xdp.adjustMeta(-4)).toBe(false);
    xdp.prepare(head, host.offsetOf(head), 512, 60);
    expect(xdp.adjustMeta(-252)).toBe(true);
    expect([0, 4, 252, 256, 2, -4].map(isMetadataLength)).toEqual([true, true, true, false, false, false]);
  });
});

describe("returnBuff", () => {
  test("fragments in order, then the head, each to its owner, all direct", () => {
    const log: number[] = [];
    const other = new NotingOwner(host, "pool D", log);
    const frags: NetmemRef[] = [other.allocPage(), owner.allocPage(), other.allocPage()];
    for (const ref of frags) xdp.addFrag(ref, 0, 8, 8);
    xdp.returnBuff();
    expect(other.returned).toEqual([frags[0], frags[2]]);
    expect(owner.returned).toEqual([frags[1], head]);
    expect([...owner.directs, ...other.directs]).toEqual([true, true, true, true]);
  });

  test("a second return is refused", () => {
    xdp.returnBuff();
    expectCode(() => xdp.returnBuff(), "ERR_NETMEM_DOUBLE_PUT");
  });
});

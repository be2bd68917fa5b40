import { type Host, idxOf, MemType, type NetmemRef, type PageRef, type XdpRxqInfo } from "@netmem/core";
import { fillPattern, findPatternMismatch } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  buildSkbFromFrame,
  cloneFrame,
  consumeSkb,
  convertBuffToFrame,
  convertFrameToBuff,
  FRAG_OFFSET,
  FRAG_REF,
  fragAt,
  FRAME_HEADROOM,
  FRAME_IFINDEX,
  FRAME_LEN,
  FRAME_MEM_TYPE,
  FRAME_METASIZE,
  FRAME_REF,
  FRAME_SZ,
  frameData,
  frameLen,
  type FrameRef,
  frameSharedInfoAt,
  memTypeOf,
  returnFrame,
  type SkbRef,
  SkbSlab,
  SkbView,
  updateFrameFromBuff,
  XdpBuff,
} from "../src/index.ts";
import { expectCode, makeHost, makeRxq, NotingOwner, withHolders, wordAt } from "./fixture.ts";

let host: Host;
let log: number[];
let pool: NotingOwner;
let xsk: NotingOwner;
let rxq: XdpRxqInfo;
let xdp: XdpBuff;

beforeEach(() => {
  host = makeHost();
  log = [];
  pool = new NotingOwner(host, "pool", log);
  xsk = new NotingOwner(host, "xsk", log, MemType.XskBuffPool);
  rxq = makeRxq(MemType.PagePool);
  xdp = new XdpBuff(host, rxq, 4096);
});

function plainPage(): PageRef {
  const page = host.pages.allocPages(0);
  if (page === 0) throw new Error("out of pages");
  return page;
}

function prepare(ref: PageRef, headroom = 256, len = 100): PageRef {
  xdp.prepare(ref, host.offsetOf(ref), headroom, len);
  return ref;
}

function convert(): FrameRef {
  const frame = convertBuffToFrame(xdp);
  if (frame === 0) throw new Error("no frame");
  return frame;
}

/** Takes every page of the host until `give` is called. */
function takeAllPages(): () => void {
  const taken: PageRef[] = [];
  for (let page = host.pages.allocPages(0); page !== 0; page = host.pages.allocPages(0)) taken.push(page);
  return () => {
    for (const page of taken) host.pages.freePage(page);
  };
}

const word = (frame: FrameRef, at: number): number => wordAt(host, frame + at);

describe("limits", () => {
  test("#227 headroom 256: metadata of 216 bytes leaves room for the record, 220 does not", () => {
    prepare(pool.allocPage());
    expect(word(convert(), FRAME_HEADROOM)).toBe(256 - 40);
    expect(xdp.adjustMeta(-216)).toBe(true);
    expect(word(convert(), FRAME_METASIZE)).toBe(216);
    xdp.dataMeta -= 4;
    expect(convertBuffToFrame(xdp)).toBe(0);
    expect(log).toEqual([]);
  });

  test("a driver that reserved no tailroom gets no frame, and a warning that names its queue", () => {
    const warnings: string[] = [];
    host.warn = (code, message) => warnings.push(`${code} ${message}`);
    prepare(pool.allocPage(), 256, 4096 - 256 - 320);
    expect([convertBuffToFrame(xdp) === 0, warnings]).toEqual([false, []]);
    xdp.dataEnd++;
    expect(convertBuffToFrame(xdp)).toBe(0);
    expect(warnings).toEqual([expect.stringMatching(/^WARN_NETMEM_TAILROOM queue 3 of device 7/)]);
  });

  test("a queue without metadata makes frames without metadata", () => {
    prepare(pool.allocPage());
    xdp.refuseMetadata();
    expect(word(convert(), FRAME_METASIZE)).toBe(0);
  });
});

describe("mixed frames", () => {
  test("#215 a buffer goes to its own pool, whatever queue and device the frame came from", () => {
    const other = new NotingOwner(host, "pool of another device", log);
    const ref = prepare(other.allocPage());
    returnFrame(host, convert());
    expect([other.returned, pool.returned]).toEqual([[ref], []]);
  });

  test("#220 fragments of different pools: each to its own, first the fragments, then the head", () => {
    const second = new NotingOwner(host, "pool B", log);
    const refs = [second.allocPage(), xsk.allocPage(), pool.allocPage(), second.allocPage()];
    const head = prepare(pool.allocPage());
    for (const ref of refs) xdp.addFrag(ref, 0, 10, 4096);
    returnFrame(host, convert());
    expect(log).toEqual([...refs, head]);
    expect(second.returned).toEqual([refs[0], refs[3]]);
  });

  test("#221 order0: the page is free; split page: one holder less, and no pool hears of it", () => {
    rxq.mem.type = MemType.PageOrder0;
    const free = host.pages.freePageCount();
    prepare(plainPage());
    const shared = withHolders(host, plainPage(), 2);
    xdp.addFrag(shared, 0, 10, 2048);
    returnFrame(host, convert());
    expect(host.pages.freePageCount()).toBe(free - 1);
    prepare(plainPage());
    xdp.addFrag(shared, 2048, 10, 2048);
    returnFrame(host, convert());
    expect([host.pages.freePageCount(), log]).toEqual([free, []]);
  });

  test("a frame with a dead head is refused before its fragments are touched", () => {
    prepare(pool.allocPage());
    const frag = pool.allocPage();
    xdp.addFrag(frag, 0, 10, 4096);
    const frame = convert();
    pool.returnSlow(xdp.headRef, false);
    expectCode(() => returnFrame(host, frame), "ERR_NETMEM_DOUBLE_PUT");
    expect(log).toEqual([xdp.headRef]);
    pool.returnSlow(frag, false);
  });

  test("memTypeOf reads the owner's type", () => {
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    const devmem = new NotingOwner(host, "gpu", log, MemType.Devmem);
    const refs = [plainPage(), pool.allocPage(), xsk.allocPage(), devmem.claimIov(area, 0)];
    expect(refs.map((ref) => memTypeOf(host, ref))).toEqual([
      MemType.PageOrder0,
      MemType.PagePool,
      MemType.XskBuffPool,
      MemType.Devmem,
    ]);
  });
});

describe("kernelFrames", () => {
  beforeEach(() => {
    xdp = new XdpBuff(host, rxq, 4096, { kernelFrames: true });
  });

  test("one type for head and fragments: a frame", () => {
    prepare(pool.allocPage());
    convert();
    xdp.addFrag(new NotingOwner(host, "pool B").allocPage(), 0, 10, 4096);
    convert();
  });

  test("a head of another type: no frame, and the buffers stay with the xdp_buff", () => {
    prepare(plainPage());
    xdp.addFrag(pool.allocPage(), 0, 10, 4096);
    refusesMixed();
  });

  test("a fragment of another type: no frame, and the buffers stay with the xdp_buff", () => {
    prepare(pool.allocPage());
    xdp.addFrag(plainPage(), 0, 10, 4096);
    refusesMixed();
  });

  /** One page of the pool, one plain page. */
  function refusesMixed(): void {
    const free = host.pages.freePageCount();
    expect([convertBuffToFrame(xdp), log]).toEqual([0, []]);
    xdp.returnBuff();
    expect([log.length, host.pages.freePageCount()]).toEqual([1, free + 1]);
  }

  test("XSK memory with fragments: the kernel would forget them", () => {
    rxq.mem.type = MemType.XskBuffPool;
    prepare(xsk.allocPage());
    xdp.addFrag(xsk.allocPage(), 0, 10, 4096);
    expect(convertBuffToFrame(xdp)).toBe(0);
    expect(log).toEqual([]);
  });
});

describe("XSK memory", () => {
  let free: number;

  beforeEach(() => {
    rxq.mem.type = MemType.XskBuffPool;
    const region = plainPage();
    const area = host.areas.add({ name: "umem", count: 1, pageShift: 12, baseOffset: host.offsetOf(region) });
    const ref = xsk.claimIov(area, 0);
    free = host.pages.freePageCount();
    xdp.prepare(ref as PageRef, host.offsetOf(region), 256, 3736);
    fillPattern(host.u8, xdp.data, 3736, 9);
  });

  test("#229 becomes a frame in a page of its own, equal in data and metadata; the buffer is home", () => {
    xdp.adjustTail(-100);
    xdp.dataEnd = xdp.data + 3728;
    expect(xdp.adjustMeta(-8)).toBe(true);
    host.u8.set([1, 2, 3, 4, 5, 6, 7, 8], xdp.dataMeta);
    const frame = convert();
    expect([log, xsk.directs]).toEqual([[xdp.headRef], [true]]);
    expect(host.pages.freePageCount()).toBe(free - 1);
    host.u8.fill(0xee, xdp.dataMeta, xdp.dataEnd);
    const data = frameData(host, frame);
    expect([frameLen(host, frame), findPatternMismatch(host.u8, data, 3728, 9)]).toEqual([3728, -1]);
    expect([...host.u8.subarray(data - 8, data)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([word(frame, FRAME_MEM_TYPE), word(frame, FRAME_METASIZE), word(frame, FRAME_SZ)]).toEqual([
      MemType.PageOrder0,
      8,
      4096,
    ]);
    expect(memTypeOf(host, word(frame, FRAME_REF) as NetmemRef)).toBe(MemType.PageOrder0);
    returnFrame(host, frame);
    expect([host.pages.freePageCount(), log.length]).toEqual([free, 1]);
  });

  test("#229 3736 bytes fit; 3737 do not, and the original is untouched", () => {
    const large = prepareTotal(3737);
    expect([large, log, host.pages.freePageCount()]).toEqual([0, [], free]);
    expect(findPatternMismatch(host.u8, xdp.data, 3736, 9)).toBe(-1);
    const fits = prepareTotal(3736);
    expect(fits).not.toBe(0);
    returnFrame(host, fits as FrameRef);
  });

  function prepareTotal(bytes: number): FrameRef | 0 {
    xdp.dataEnd = xdp.data + bytes;
    return convertBuffToFrame(xdp);
  }

  test("#229 without a page: no frame, and the buffer stays", () => {
    const give = takeAllPages();
    expect([convertBuffToFrame(xdp), log]).toEqual([0, []]);
    give();
    returnFrame(host, convert());
    expect(log).toHaveLength(1);
  });

  test("fragments move over with their own types", () => {
    xdp.dataEnd = xdp.data + 100;
    const refs = [xsk.allocPage(), plainPage(), pool.allocPage()];
    for (const ref of refs) xdp.addFrag(ref, 64, 1000, 4096);
    const frame = convert();
    expect(log).toEqual([xdp.headRef]);
    host.i32.fill(-1, xdp.sharedInfoAt(), xdp.sharedInfoAt() + 80);
    expect(frameLen(host, frame)).toBe(3100);
    const at = fragAt(frameSharedInfoAt(host, frame), 2);
    expect([wordAt(host, at + FRAG_REF), wordAt(host, at + FRAG_OFFSET)]).toEqual([refs[2], 64]);
    returnFrame(host, frame);
    expect(log).toEqual([xdp.headRef, refs[0], refs[2]]);
  });

  test("#233 returnBuff of a packet with fragments: every buffer comes home exactly once", () => {
    xdp.dataEnd = xdp.data + 100;
    const refs = [xsk.allocPage(), xsk.allocPage(), xsk.allocPage()];
    for (const ref of refs) xdp.addFrag(ref, 0, 100, 4096);
    xdp.returnBuff();
    expect(log).toEqual([...refs, xdp.headRef]);
    expectCode(() => xdp.returnBuff(), "ERR_NETMEM_DOUBLE_PUT");
    expect(log).toHaveLength(4);
  });
});

describe("cloneFrame", () => {
  test("#230 a copy in order0 memory of 4096 bytes, independent of the original", () => {
    const head = prepare(pool.allocPage(), 256, 1000);
    fillPattern(host.u8, xdp.data, 1000, 3);
    xdp.adjustMeta(-4);
    xdp.hash = 77;
    const frame = convert();
    const free = host.pages.freePageCount();
    const clone = cloneFrame(host, frame) as FrameRef;
    expect(clone).not.toBe(0);
    expect([word(clone, FRAME_MEM_TYPE), word(clone, FRAME_SZ), word(clone, FRAME_METASIZE)]).toEqual([1, 4096, 4]);
    expect([word(clone, FRAME_IFINDEX), frameLen(host, clone)]).toEqual([7, 1000]);
    returnFrame(host, frame);
    host.u8.fill(0, host.offsetOf(head), host.offsetOf(head) + 4096);
    expect(findPatternMismatch(host.u8, frameData(host, clone), 1000, 3)).toBe(-1);
    returnFrame(host, clone);
    expect([log, host.pages.freePageCount()]).toEqual([[head], free]);
  });

  test("#230 3776 bytes with record and headroom fit, 3777 do not", () => {
    // A larger head buffer: in one page the original itself would not fit.
    const block = host.pages.allocPages(1) as PageRef;
    rxq.mem.type = MemType.PageOrder0;
    xdp = new XdpBuff(host, rxq, 8192);
    prepare(block, 256, 3776 - 256);
    const fits = cloneFrame(host, convert());
    expect(fits).not.toBe(0);
    returnFrame(host, fits as FrameRef);
    xdp.dataEnd++;
    const frame = convert();
    const free = host.pages.freePageCount();
    expect([cloneFrame(host, frame), host.pages.freePageCount()]).toEqual([0, free]);
    returnFrame(host, frame);
  });

  test("copies fragments as well, also large ones and XSK memory", () => {
    prepare(pool.allocPage());
    const block = host.pages.allocPages(2) as PageRef;
    const piece = xsk.allocPage();
    fillPattern(host.u8, host.offsetOf(block) + 10, 9000, 4);
    fillPattern(host.u8, host.offsetOf(piece), 4096, 5);
    xdp.addFrag(block, 10, 9000, 16_384);
    xdp.addFrag(piece, 0, 4096, 4096);
    const frame = convert();
    const free = host.pages.freePageCount();
    const clone = cloneFrame(host, frame) as FrameRef;
    returnFrame(host, frame);
    expect(log).toEqual([piece, xdp.headRef]);
    const shinfo = frameSharedInfoAt(host, clone);
    const bytesAt = (n: number): number => host.offsetOf(wordAt(host, fragAt(shinfo, n) + FRAG_REF) as PageRef);
    expect(frameLen(host, clone)).toBe(100 + 9000 + 4096);
    expect(findPatternMismatch(host.u8, bytesAt(0), 9000, 4)).toBe(-1);
    expect(findPatternMismatch(host.u8, bytesAt(1), 4096, 5)).toBe(-1);
    const before = host.pages.freePageCount();
    const slab = new SkbSlab(host, { skbCount: 1 });
    const slabPages = host.pages.freePageCount() - before;
    const skb = buildSkbFromFrame(slab, clone) as SkbRef;
    expect(new SkbView(slab).of(skb).truesize).toBe(4096 + 16_384 + 4096);
    consumeSkb(slab, skb);
    slab.dispose();
    // Of the original, the block of four is free; head and piece are at home with their owners.
    expect(host.pages.freePageCount()).toBe(free + 4 + slabPages);
  });

  test("refuses unreadable fragments, and gives everything back when pages run out in the middle", () => {
    prepare(pool.allocPage());
    for (let n = 0; n < 3; n++) xdp.addFrag(pool.allocPage(), 0, 100, 4096);
    const give = takeAllPages();
    expect(cloneFrame(host, convert())).toBe(0);
    give();
    const free = host.pages.freePageCount();
    // Three pages: one for the head, two of three fragments.
    const taken: PageRef[] = [];
    while (host.pages.freePageCount() > 3) taken.push(plainPage());
    expect([cloneFrame(host, convert()), host.pages.freePageCount()]).toEqual([0, 3]);
    for (const page of taken) host.pages.freePage(page);
    expect([host.pages.freePageCount(), log]).toEqual([free, []]);
    const area = host.areas.add({ name: "gpu", count: 1, pageShift: 12 });
    xdp.addFrag(pool.claimIov(area, 0), 0, 100, 4096);
    expect([cloneFrame(host, convert()), host.pages.freePageCount()]).toEqual([0, free]);
  });
});

describe("frame to buff and back", () => {
  test("a program at the receiver sees the packet, and what it changes is in the frame", () => {
    prepare(pool.allocPage());
    xdp.adjustMeta(-8);
    const frag = pool.allocPage();
    xdp.addFrag(frag, 0, 500, 4096);
    const frame = convert();
    const there = new XdpBuff(host, makeRxq(MemType.PageOrder0), 2048);
    convertFrameToBuff(frame, there);
    expect([there.data, there.dataEnd, there.dataMeta, there.headRef]).toEqual([
      xdp.data,
      xdp.dataEnd,
      xdp.dataMeta,
      xdp.headRef,
    ]);
    expect([there.len, there.nrFrags, there.frameSz, there.metaLen]).toEqual([600, 1, 4096, 8]);
    expect([there.adjustHead(-16), there.adjustTail(-550)]).toEqual([true, true]);
    expect(updateFrameFromBuff(there, frame)).toBe(true);
    expect([frameLen(host, frame), word(frame, FRAME_LEN), word(frame, FRAME_HEADROOM)]).toEqual([66, 66, 200]);
    expect([word(frame, FRAME_MEM_TYPE), word(frame, FRAME_IFINDEX)]).toEqual([MemType.PagePool, 7]);
    expect(log).toEqual([frag]);
    returnFrame(host, frame);
    expect(log).toHaveLength(2);
  });

  test("what does not fit is refused, and the frame says what it said", () => {
    prepare(pool.allocPage());
    const frame = convert();
    convertFrameToBuff(frame, xdp);
    xdp.data = xdp.dataHardStart + 39;
    expect(updateFrameFromBuff(xdp, frame)).toBe(false);
    expect([frameLen(host, frame), word(frame, FRAME_HEADROOM)]).toEqual([100, 216]);
  });

  test("#232 an skb from a frame of pool memory is marked for recycling, one of order0 is not", () => {
    const slab = new SkbSlab(host, { skbCount: 2 });
    const view = new SkbView(slab);
    const build = (ref: PageRef): SkbRef => {
      prepare(ref);
      return buildSkbFromFrame(slab, convert()) as SkbRef;
    };
    const pooled = build(pool.allocPage());
    expect(view.of(pooled).ppRecycle).toBe(true);
    const plain = build(plainPage());
    expect(view.of(plain).ppRecycle).toBe(false);
    for (const skb of [pooled, plain]) consumeSkb(slab, skb);
    expect(log.map((ref) => idxOf(ref as NetmemRef))).toHaveLength(1);
  });
});

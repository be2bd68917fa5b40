import { type NetmemRef, pageRefCount, ppRefCount, type QueueAllocator } from "@netmem/core";
import { createPageFrag } from "@netmem/mm";
import { foldChecksum, sumWords } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  appendFragList,
  checksumSkb,
  cloneSkb,
  consumeSkb,
  copyBitsWithin,
  copySkb,
  copySkbHead,
  cowSkb,
  expandHead,
  SKB_DATA_LEN,
  SHINFO_HASH,
  SKB_LEN,
  SKB_SHINFO,
  SkbSeq,
  type SkbRef,
  splitSkb,
  storeBits,
} from "../src/index.ts";
import { expectCode } from "./fixture.ts";
import { need, NOTHING, ramp, Stand } from "./skb-fixture.ts";

let stand: Stand;

beforeEach(() => {
  stand = new Stand();
});

describe("SkbSeq and copies", () => {
  test("walks every piece in place, from any byte to any byte", () => {
    const { slab, host } = stand;
    const skb = stand.mixed();
    const seq = new SkbSeq(slab);
    for (let from = 0; from <= 79; from++) {
      for (let to = from; to <= 79; to++) {
        const seen: number[] = [];
        seq.start(skb, from, to - from);
        while (seq.next()) seen.push(...host.u8.subarray(seq.offset, seq.offset + seq.len));
        expect(seen).toEqual(ramp(to - from, from));
      }
    }
    expectCode(() => seq.start(skb, 70, 10), "ERR_NETMEM_OUT_OF_RANGE");
  });

  test("does not walk out of an skb that lies in somebody's list, and notices lengths that cannot be", () => {
    const { slab } = stand;
    const skb = stand.mixed();
    const child = need(stand.view.of(skb).fragList);
    expect(stand.bytes(child)).toEqual(ramp(11, 60));
    const at = slab.check(child);
    slab.i32[at + SKB_LEN] = 20;
    slab.i32[at + SKB_DATA_LEN] = 15;
    expectCode(() => stand.bytes(child), "ERR_NETMEM_SKB_CORRUPT");
  });

  test("nested fragment lists, down to eight", () => {
    const { slab } = stand;
    let skb = stand.skb(1, 8);
    for (let n = 7; n >= 0; n--) {
      const outer = stand.skb(1, n);
      appendFragList(slab, outer, skb);
      skb = outer;
    }
    expect(stand.bytes(skb)).toEqual(ramp(9));
    const outer = stand.skb(1);
    appendFragList(slab, outer, skb);
    expectCode(() => stand.bytes(outer), "ERR_NETMEM_SKB_CORRUPT");
    consumeSkb(slab, outer);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("copyBitsWithin and storeBits", () => {
    const { slab, host } = stand;
    const skb = stand.mixed();
    const page = stand.plainPage();
    const at = host.offsetOf(page);
    copyBitsWithin(slab, skb, 3, at + 1, 70);
    expect([...host.u8.subarray(at, at + 73)]).toEqual([0, ...ramp(70, 3), 0, 0]);
    storeBits(slab, skb, 5, Uint8Array.from(ramp(70, 100)), 70);
    expect(stand.bytes(skb)).toEqual([...ramp(5), ...ramp(70, 100), ...ramp(4, 75)]);
    expectCode(() => storeBits(slab, skb, 0, new Uint8Array(3), 4), "ERR_NETMEM_OUT_OF_RANGE");
  });

  test("copySkb: a linear copy of everything, of its own", () => {
    const { slab, view } = stand;
    const skb = stand.mixed();
    const copy = need(copySkb(slab, skb));
    expect([view.of(copy).len, view.dataLen, view.headroom, view.ppRecycle]).toEqual([79, 0, 256, false]);
    expect(stand.isTruesizeRight(copy)).toBe(true);
    consumeSkb(slab, skb);
    expect(stand.bytes(copy)).toEqual(ramp(79));
    consumeSkb(slab, copy);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("copySkbHead: headers of one's own, fragments shared by page references", () => {
    const { slab, view, host } = stand;
    const skb = stand.mixed();
    const [page] = stand.fragRefs(skb) as [NetmemRef];
    const copy = need(copySkbHead(slab, skb));
    expect([pageRefCount(host, page), ppRefCount(host, page), view.of(copy).ppRecycle]).toEqual([2, 1, false]);
    expect(stand.isTruesizeRight(copy)).toBe(true);
    storeBits(slab, copy, 0, Uint8Array.of(77), 1);
    expect(stand.bytes(skb)).toEqual(ramp(79));
    consumeSkb(slab, copy);
    consumeSkb(slab, skb);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("copySkbHead with device memory: held in its pool, unreadable as ever", () => {
    const { slab, view, host, poolD } = stand;
    const skb = stand.skb(10);
    const iov = stand.addIov(skb, 100);
    const copy = need(copySkbHead(slab, skb));
    expect([ppRefCount(host, iov), view.of(copy).unreadable, view.ppRecycle]).toEqual([2, true, true]);
    consumeSkb(slab, skb);
    expect(poolD.returned).toEqual([]);
    consumeSkb(slab, copy);
    expect(poolD.returned).toEqual([iov]);
  });

  test("checksums equal those over a flat copy, wherever pieces and range begin", () => {
    const { slab } = stand;
    const skb = stand.skb(7, 3);
    for (const len of [1, 2, 9, 40, 3]) stand.addPage(skb, len, len * 31);
    const flat = Uint8Array.from(stand.bytes(skb));
    for (let from = 0; from < flat.length; from++) {
      for (let len = 0; from + len <= flat.length; len++) {
        const sum = checksumSkb(slab, skb, from, len, 0x1234);
        expect(~sum & 0xffff).toBe(foldChecksum(sumWords(flat, from, len, 0x1234)));
      }
    }
  });
});

describe("copy-on-write", () => {
  /** Whole pages of pool H, at most `max`. */
  function pages(max = 100): QueueAllocator {
    let left = max;
    return {
      allocNetmem: () => (left-- > 0 ? stand.poolH.allocPage() : 0),
      allocBulk: () => 0,
      put: (ref) => stand.poolH.returnSlow(ref, false),
    };
  }

  test("into a pool: head with headroom, the rest in pages; the original goes", () => {
    const { slab, view } = stand;
    const skb = stand.skb(3000, 0);
    for (let n = 0; n < 4; n++) stand.addPage(skb, 3000, 3000 * (n + 1));
    const copy = need(cowSkb(slab, skb, pages(), 192));
    expect([view.of(copy).headroom, view.ppRecycle, view.nrFrags, view.headLen]).toEqual([192, true, 3, 3584]);
    expect([stand.bytes(copy), slab.liveCount, stand.isTruesizeRight(copy)]).toEqual([ramp(15_000), 1, true]);
    consumeSkb(slab, copy);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("into an allocator that falls back to its pool: the bit is set when it is needed", () => {
    const { slab, view } = stand;
    let count = 0;
    const mixedPages: QueueAllocator = {
      ...pages(),
      allocNetmem: () => (count++ === 0 ? stand.plainPage() : stand.poolH.allocPage()),
    };
    const skb = stand.skb(3000, 0, stand.plainPage());
    stand.addPage(skb, 800, 3000, stand.plainPage());
    const copy = need(cowSkb(slab, skb, mixedPages, 256));
    expect([view.of(copy).nrFrags, view.ppRecycle, stand.bytes(copy)]).toEqual([1, true, ramp(3800)]);
    consumeSkb(slab, copy);
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("into pieces of page_frag", () => {
    const { slab, host, view } = stand;
    const frag = createPageFrag(host, { fragBytes: 2048 });
    const skb = stand.skb(3000, 0);
    const copy = need(cowSkb(slab, skb, frag, 128));
    expect([view.of(copy).headLen, view.nrFrags, view.ppRecycle]).toEqual([2048 - 128 - 320, 1, false]);
    expect(stand.bytes(copy)).toEqual(ramp(3000));
    consumeSkb(slab, copy);
    frag.destroy();
    expect(stand.lost()).toEqual(NOTHING);
  });

  test("exhausted, or too large for 17 fragments: the original is untouched, nothing stays", () => {
    const { slab, poolH, host } = stand;
    const skb = stand.skb(3000, 0);
    for (let n = 0; n < 17; n++) stand.addPage(skb, 3000, n);
    const bytes = stand.bytes(skb);
    const free = host.pages.freePageCount();
    for (const max of [0, 1, 5]) expect(cowSkb(slab, skb, pages(max), 256)).toBe(0);
    expect(cowSkb(slab, skb, createPageFrag(host, { fragBytes: 1024, order: 0 }), 256)).toBe(0);
    expect(cowSkb(slab, skb, pages(), 3777)).toBe(0);
    expect([stand.bytes(skb), slab.liveCount]).toEqual([bytes, 1]);
    expect(host.pages.freePageCount()).toBeGreaterThanOrEqual(free - poolH.returned.length - 1);
  });

  test("of and into memory that the CPU cannot reach: refused", () => {
    const { slab, poolD } = stand;
    const gpuSkb = stand.skb(10);
    stand.addIov(gpuSkb, 10);
    expectCode(() => cowSkb(slab, gpuSkb, pages(), 0), "ERR_NETMEM_UNREADABLE");
    const gpu: QueueAllocator = {
      ...pages(),
      allocNetmem: () => stand.iov(),
      put: (ref) => poolD.returnSlow(ref, false),
    };
    const skb = stand.skb(10, 2);
    expectCode(() => cowSkb(slab, skb, gpu, 0), "ERR_NETMEM_UNREADABLE");
    expect([poolD.returned.length, stand.bytes(skb), slab.liveCount]).toEqual([1, ramp(10, 2), 2]);
    expectCode(() => cowSkb(slab, stand.mixed(), pages(), 0), "ERR_NETMEM_FRAG_LIST");
  });
});

test("what is known of the packet goes along: hash, queue, device, segments", () => {
  const { slab, view } = stand;
  const skb = stand.skb(40, 0);
  stand.addPage(skb, 10, 40);
  const info = (of: SkbRef): number[] => {
    view.of(of);
    return [view.hash, view.queueIdx, view.ifindex, view.gsoSize, view.gsoSegs];
  };
  const shinfo = slab.i32[slab.check(skb) + SKB_SHINFO] ?? 0;
  slab.i32.set([11, 12, 13, (3 << 16) | 14], shinfo + SHINFO_HASH);
  const known = info(skb);
  expect(known).toEqual([11, 12, 13, 14, 3]);
  const clone = need(cloneSkb(slab, skb));
  const others = [clone, need(copySkb(slab, skb)), need(copySkbHead(slab, skb)), need(splitSkb(slab, clone, 20))];
  expandHead(slab, skb, 10, 0);
  expect([skb, ...others].map(info)).toEqual([known, known, known, known, known]);
  const frag = createPageFrag(stand.host);
  expect(info(need(cowSkb(slab, skb, frag, 0)))).toEqual(known);
});

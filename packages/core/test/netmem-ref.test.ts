import { expect, test } from "vitest";
import {
  asNetmemRef,
  GEN_MASK,
  GEN_ONE,
  GEN_SHIFT,
  genOf,
  getNetmem,
  IDX_MASK,
  idxOf,
  isNetIov,
  isPage,
  makeRef,
  META_OUT,
  NET_IOV_TAG,
  type NetmemRef,
  pageRefCount,
  ppRefCount,
  putNetmem,
  type ReadableRef,
  REF_MASK,
} from "../src/index.ts";
import { type CoreHost, createCoreHost, expectRefused, takePage } from "./core-host.ts";

test("bit layout: tag, 20 bits of index, 9 bits of generation, a small integer in all", () => {
  expect(makeRef(0, 0, 1)).toBe(1);
  expect(makeRef(1, 0, 0)).toBe(2);
  expect(makeRef(0, 1, 0)).toBe(1 << 21);
  expect(makeRef(IDX_MASK, 511, 1)).toBe(2 ** 30 - 1);
  expect([NET_IOV_TAG, IDX_MASK, GEN_MASK, GEN_SHIFT, REF_MASK]).toEqual([1, 0xfffff, 0x1ff, 21, 0x3fffffff]);
  for (const idx of [1, 2, 0x55555, 0xaaaaa, IDX_MASK]) {
    for (const gen of [0, 1, 0x155, 511]) {
      for (const tag of [0, 1]) {
        const ref = makeRef(idx, gen, tag);
        expect([idxOf(ref), genOf(ref), isNetIov(ref)]).toEqual([idx, gen, tag === 1]);
        expect(ref).toBeGreaterThan(0);
      }
    }
  }
});

test("the next generation changes nothing else, and wraps", () => {
  const last = makeRef(77, 511, 1);
  const next = ((last + GEN_ONE) & REF_MASK) as NetmemRef;
  expect([idxOf(next), genOf(next), isNetIov(next)]).toEqual([77, 0, true]);
});

test("#152 a reference is a page or a net_iov, never both", () => {
  const subject = createCoreHost();
  const page = takePage(subject);
  const area = subject.host.areas.add({ name: "niov", count: 2, pageShift: 12 });
  const niov: NetmemRef = subject.host.areas.refAt(area, 1);
  expect([isPage(page), isNetIov(page)]).toEqual([true, false]);
  expect([isPage(niov), isNetIov(niov)]).toEqual([false, true]);
  expect(subject.host.areas.of(idxOf(page))).toBe(null);
  expect(subject.host.areas.of(idxOf(niov))).toBe(area);
});

test("#154 one more reference: a page counts it, a net_iov's area hears of it, pp_ref_count stays", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const page = takePage(subject);
  getNetmem(host, page);
  expect([pageRefCount(host, page), ppRefCount(host, page)]).toEqual([2, 1]);
  putNetmem(host, page);
  expect(pageRefCount(host, page)).toBe(1);

  const calls: [string, number][] = [];
  const binding = host.areas.add({
    name: "devmem",
    count: 4,
    pageShift: 12,
    getRef: (ref) => calls.push(["get", ref]),
    putRef: (ref) => calls.push(["put", ref]),
  });
  const user = host.areas.add({ name: "zcrx", count: 4, pageShift: 12, baseOffset: 0 });
  for (const area of [binding, user]) {
    const niov = outside(subject, host.areas.refAt(area, 2));
    getNetmem(host, niov);
    putNetmem(host, niov);
    expect([pageRefCount(host, niov), ppRefCount(host, niov)]).toEqual([1, 1]);
    expect(host.i32[idxOf(niov)]).toBe(META_OUT | genOf(niov));
  }
  expect(calls).toEqual([
    ["get", host.areas.refAt(binding, 2)],
    ["put", host.areas.refAt(binding, 2)],
  ]);
});

test("#154 a dead reference gets no holder", () => {
  const { host } = createCoreHost();
  const calls: number[] = [];
  const area = host.areas.add({
    name: "devmem",
    count: 1,
    pageShift: 12,
    getRef: (ref) => calls.push(ref),
    putRef: (ref) => calls.push(ref),
  });
  const niov = host.areas.refAt(area, 0);
  expectRefused(host, "ERR_NETMEM_STALE_REF", () => getNetmem(host, niov));
  expectRefused(host, "ERR_NETMEM_STALE_REF", () => putNetmem(host, niov));
  expect(calls).toEqual([]);
});

test("#155 tag round trip: the reference of a net_iov leads back to its area and place", () => {
  const { host } = createCoreHost();
  const area = host.areas.add({ name: "niov", count: 16, pageShift: 11 });
  for (let n = 0; n < area.count; n++) {
    const ref = host.areas.refAt(area, n);
    expect(ref & NET_IOV_TAG).toBe(1);
    expect(host.areas.of(idxOf(ref))).toBe(area);
    expect(idxOf(ref) - area.firstIdx).toBe(n);
    expect(host.areas.refAt(area, idxOf(ref) - area.firstIdx)).toBe(ref);
  }
});

test("unreadable memory has no address: offsetOf refuses at run time what a cast let through", () => {
  const { host } = createCoreHost();
  const area = host.areas.add({ name: "gpu", count: 2, pageShift: 16 });
  const niov: NetmemRef = host.areas.refAt(area, 1);
  expect(host.isReadable(niov)).toBe(false);
  const cast = asReadable(niov);
  const error = expectRefused(host, "ERR_NETMEM_UNREADABLE", () => host.offsetOf(cast));
  expect(error).toMatchObject({ errno: "EFAULT", param: "ref", value: niov });
  expect(String(error["remedy"])).toContain("isReadable");
  expectRefused(host, "ERR_NETMEM_UNREADABLE", () => host.copyOut(cast, 0, 1));
});

test("a readable net_iov has the address that its area says", () => {
  const { host } = createCoreHost();
  const area = host.areas.add({ name: "chunks", count: 8, pageShift: 11, baseOffset: 0x123456 });
  for (let n = 0; n < 8; n++) {
    const ref: NetmemRef = host.areas.refAt(area, n);
    if (!host.isReadable(ref)) throw new Error("not readable");
    expect(host.offsetOf(ref)).toBe(0x123456 + n * 2048);
  }
  expect(area.readable).toBe(true);
});

test("a page's address is its index times the page size, also where it would be negative", () => {
  const { host } = createCoreHost({ arenaBytes: 2 ** 31, pageShift: 12, maxNetmems: 2 ** 19 });
  const last = asReadable(makeRef(2 ** 19 - 1, 0, 0));
  expect(host.offsetOf(last)).toBe(2 ** 31 - 4096);
  expect(host.pageIdxAt(2 ** 31 - 1)).toBe(2 ** 19 - 1);
});

test("a net_iov tag on an index of no area is not readable", () => {
  const { host } = createCoreHost();
  expect(host.isReadable(makeRef(host.layout.maxNetmems - 1, 0, 1))).toBe(false);
  expect(host.isReadable(makeRef(host.layout.firstPageIdx, 0, 1))).toBe(false);
  expect(host.isReadable(asNetmemRef(-1))).toBe(false);
});

function asReadable(ref: NetmemRef): ReadableRef {
  return ref as ReadableRef;
}

/** Marks a net_iov as out, the way an owner without an id of its own would. */
function outside<R extends NetmemRef>({ host }: CoreHost, ref: R): R {
  host.i32[idxOf(ref)] = META_OUT | genOf(ref);
  return ref;
}

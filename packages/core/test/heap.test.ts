import { Prng, VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { attachHost } from "../src/index.ts";
import { createCoreHost, expectRefused } from "./core-host.ts";

test("blocks are zeroed, aligned to a cache line, and apart from each other", () => {
  const { host } = createCoreHost();
  const prng = new Prng(20260103);
  const taken = new Set<number>();
  for (let k = 0; k < 200; k++) {
    const words = prng.range(1, 3000);
    const at = host.heap.allocWords(words);
    expect(at % 16).toBe(0);
    expect(host.i32.subarray(at, at + words).every((word) => word === 0)).toBe(true);
    host.i32.fill(-1, at, at + words);
    for (let word = at; word < at + words; word++) {
      expect(taken.has(word)).toBe(false);
      taken.add(word);
    }
    if (prng.bool(0.5)) {
      host.heap.freeWords(at, words);
      for (let word = at; word < at + words; word++) taken.delete(word);
    }
  }
});

test("a freed block is the next one of its size class, zeroed again", () => {
  const { host } = createCoreHost();
  for (const [words, sameClass] of [
    [1, 16],
    [17, 32],
    [600, 1000],
    [1024, 1024],
    [5000, 8192],
  ] as const) {
    const at = host.heap.allocWords(words);
    host.i32.fill(7, at, at + words);
    host.heap.freeWords(at, words);
    expect(host.heap.allocWords(sameClass)).toBe(at);
    expect(host.i32.subarray(at, at + sameClass).every((word) => word === 0)).toBe(true);
  }
});

test("small blocks share a page; a page or more is given back to the page allocator", () => {
  const { host, pages } = createCoreHost();
  const free = pages.freePageCount();
  const small = Array.from({ length: 64 }, () => host.heap.allocWords(16));
  expect(pages.freePageCount()).toBe(free - 1);
  expect(new Set(small.map((at) => host.pageIdxAt(at * 4))).size).toBe(1);
  host.heap.allocWords(16);
  expect(pages.freePageCount()).toBe(free - 2);
  for (const [words, pagesUsed] of [
    [513, 1],
    [1024, 1],
    [1025, 2],
    [2049, 4],
  ] as const) {
    const before = pages.freePageCount();
    const at = host.heap.allocWords(words);
    expect(before - pages.freePageCount()).toBe(pagesUsed);
    expect((at * 4) % 4096).toBe(0);
    host.heap.freeWords(at, words);
    expect(pages.freePageCount()).toBe(before);
  }
});

test("exhaustion", () => {
  const { host, pages } = createCoreHost();
  const error = expectRefused(host, "ERR_NETMEM_NO_MEMORY", () => host.heap.allocWords(2 ** 20 + 1));
  expect(error).toMatchObject({ errno: "ENOMEM", param: "order", value: 11 });
  while (pages.allocPages(0) !== 0);
  expectRefused(host, "ERR_NETMEM_NO_MEMORY", () => host.heap.allocWords(16));
  expectRefused(host, "ERR_NETMEM_NO_MEMORY", () => host.heap.allocWords(1024));
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 30 + 1])("%d words are no size", (words) => {
  const { host } = createCoreHost();
  const error = expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.heap.allocWords(words));
  expect(error).toMatchObject({ errno: "EINVAL", param: "words", value: words });
});

test("a free that the page allocator refuses leaves the block out", () => {
  const { host, pages } = createCoreHost();
  const free = pages.freePageCount();
  const at = host.heap.allocWords(2000);
  const other = attachHost(host.share(), { clock: new VirtualClock() });
  expectRefused(host, "ERR_NETMEM_WRONG_THREAD", () => other.heap.freeWords(at, 2000));
  host.heap.freeWords(at, 2000);
  expect(pages.freePageCount()).toBe(free);
});

test("a wrong free is refused: twice, another size, another place", () => {
  const { host } = createCoreHost();
  for (const words of [16, 2000]) {
    const at = host.heap.allocWords(words);
    expectRefused(host, "ERR_NETMEM_BAD_HEAP_FREE", () => host.heap.freeWords(at, words * 2));
    expectRefused(host, "ERR_NETMEM_BAD_HEAP_FREE", () => host.heap.freeWords(at + 16, words));
    host.heap.freeWords(at, words);
    const error = expectRefused(host, "ERR_NETMEM_BAD_HEAP_FREE", () => host.heap.freeWords(at, words));
    expect(error).toMatchObject({ errno: "EINVAL", param: "at", value: at });
  }
});

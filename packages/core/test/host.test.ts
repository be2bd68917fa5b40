import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import {
  attachHost,
  createHost,
  createMemory,
  DESCRIPTOR_BYTES,
  type HostParams,
  isNetmemError,
  LAYOUT_VERSION,
  MAX_WORKERS,
  OWNER_WORDS,
  THREAD_WORDS,
} from "../src/index.ts";
import { createCoreHost, errorOf, expectRefused, FakePages, takePage } from "./core-host.ts";

const MIB = 2 ** 20;

test.each<[string, Partial<HostParams>, string, number]>([
  ["no size", { arenaBytes: Number.NaN }, "arenaBytes", Number.NaN],
  ["an arena below 4 MiB", { arenaBytes: 4 * MIB - 65536 }, "arenaBytes", 4 * MIB - 65536],
  ["an arena above 2 GiB", { arenaBytes: 2 ** 31 + 65536 }, "arenaBytes", 2 ** 31 + 65536],
  ["an arena of broken size", { arenaBytes: 4 * MIB + 4096 }, "arenaBytes", 4 * MIB + 4096],
  ["pages below 4 KiB", { pageShift: 11 }, "pageShift", 11],
  ["pages above 64 KiB", { pageShift: 17 }, "pageShift", 17],
  ["fewer descriptors than pages", { maxNetmems: 1023 }, "maxNetmems", 1023],
  ["more descriptors than 20 bits of index", { maxNetmems: 2 ** 20 + 1 }, "maxNetmems", 2 ** 20 + 1],
  ["fewer than 8 owners", { maxOwners: 7 }, "maxOwners", 7],
  ["more owners than 16 bits", { maxOwners: 65536 }, "maxOwners", 65536],
  ["a table larger than the arena", { maxNetmems: 2 ** 20 }, "maxNetmems", 2 ** 20],
])("createHost refuses %s", (_what, params, param, value) => {
  const error = errorOf(() => createCoreHost(params));
  expect(error).toMatchObject({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL", param, value });
  expect(String(error["message"])).toContain(`${param} is ${value}, expected`);
  expect(String(error["remedy"])).toMatch(/^[A-Z].*\.$/);
});

test("memory that cannot be had: coded, with the runtime's reason as cause", () => {
  const error = errorOf(() => createMemory(2 ** 33));
  expect(error).toMatchObject({ code: "ERR_NETMEM_NO_MEMORY", errno: "ENOMEM", param: "arenaBytes", value: 2 ** 33 });
  expect(error["cause"]).toBeInstanceOf(Error);
  expect(isNetmemError(error)).toBe(true);
});

test("the arena is one shared memory of the asked size that cannot grow", () => {
  const { host } = createCoreHost();
  expect(host.memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(host.memory.buffer.byteLength).toBe(4 * MIB);
  expect(() => (host.memory as unknown as { grow(pages: number): number }).grow(1)).toThrow(RangeError);
  expect([host.u8.length, host.i32.length * 4, host.pageSizeBytes]).toEqual([4 * MIB, 4 * MIB, 4096]);
});

test.each([4, 16, 64, 1024, 2048])(
  "with %i MiB and no further parameters a page costs at most 32 bytes of descriptor",
  (mib) => {
    const { host } = createCoreHost({ arenaBytes: mib * MIB });
    const { pageCount, maxNetmems, maxOwners, firstPageIdx } = host.layout;
    expect((maxNetmems * DESCRIPTOR_BYTES) / pageCount).toBeLessThanOrEqual(32);
    expect(maxNetmems - pageCount).toBeGreaterThanOrEqual(pageCount / 4);
    const perHost = MAX_WORKERS * THREAD_WORDS * 4 + 32 * 1024 + 256;
    const otherBytes = maxOwners * OWNER_WORDS * 4 + 1024 * 4 + perHost + 4096;
    expect(firstPageIdx * 4096).toBeLessThanOrEqual(Math.max(pageCount * 32 + otherBytes, 64 * 4096));
  },
);

test("the columns do not overlap, and no page lies on the table", () => {
  for (const params of [{}, { maxNetmems: 1025 }, { maxOwners: 500 }, { pageShift: 13 }]) {
    const { layout } = createCoreHost(params).host;
    const starts = [0, layout.ppRefAt, layout.pageRefAt, layout.linkAt, layout.dmaAt, layout.infoAt];
    for (const [k, start] of starts.entries()) expect(start).toBe(k * layout.maxNetmems);
    expect(layout.ownersAt).toBeGreaterThanOrEqual(6 * layout.maxNetmems);
    expect(layout.ownersAt % 16).toBe(0);
    expect(layout.allocatorAt).toBe(layout.ownersAt + layout.maxOwners * OWNER_WORDS);
    expect(layout.firstPageIdx << layout.pageShift).toBeGreaterThanOrEqual((layout.allocatorAt + 1024) * 4);
    expect(layout.firstPageIdx).toBeGreaterThanOrEqual(64);
  }
});

test("copyOut gives bytes of its own, and keeps to the buffer", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const [page, block] = [takePage(subject), takePage(subject, 2)];
  host.u8.set([1, 2, 3, 4], host.offsetOf(page) + 10);
  const copy = host.copyOut(page, 10, 4);
  expect([...copy]).toEqual([1, 2, 3, 4]);
  expect(copy.buffer).toBeInstanceOf(ArrayBuffer);
  host.u8[host.offsetOf(page) + 10] = 99;
  expect(copy[0]).toBe(1);
  expect(host.copyOut(block, 4096 * 3, 4096).length).toBe(4096);
  expect(host.copyOut(page, 4096, 0).length).toBe(0);
  expect(expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.copyOut(page, 4000, 97))).toMatchObject({
    param: "lengthBytes",
    value: 97,
  });
  expect(expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.copyOut(page, -1, 2))).toMatchObject({
    param: "startBytes",
    value: -1,
  });
  expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.copyOut(block, 0, 4096 * 4 + 1));
});

test("copyOut of a net_iov keeps to its area's buffer size", () => {
  const { host } = createCoreHost();
  const area = host.areas.add({ name: "chunks", count: 4, pageShift: 11, baseOffset: 2 * MIB });
  const ref = host.areas.refAt(area, 1);
  if (!host.isReadable(ref)) throw new Error("not readable");
  host.u8[2 * MIB + 2048] = 7;
  expect(host.copyOut(ref, 0, 2048)[0]).toBe(7);
  expectRefused(host, "ERR_NETMEM_INVALID_PARAM", () => host.copyOut(ref, 0, 2049));
});

test("warnings reach whoever asked for them", () => {
  const warnings: { code: string; message: string }[] = [];
  createCoreHost({ onWarning: (warning) => warnings.push(warning) }).host.warn("WARN_NETMEM_X", "something");
  createCoreHost().host.warn("WARN_NETMEM_X", "unheard");
  expect(warnings).toEqual([{ code: "WARN_NETMEM_X", message: "something" }]);
});

test("a callback that throws does not stop who warns: it throws from a timer", () => {
  const clock = new VirtualClock();
  const onWarning = (): never => {
    throw new Error("from the callback");
  };
  createCoreHost({ clock, onWarning }).host.warn("WARN_NETMEM_X", "something");
  expect(() => clock.advance(1)).toThrow("from the callback");
});

test("two hosts in one process share nothing", () => {
  const [a, b] = [createCoreHost(), createCoreHost()];
  takePage(a);
  expect(b.pages.freePageCount()).toBe(b.pages.totalPageCount);
  expect(a.host.memTypes.numberOf("own")).toBe(5);
  expect(b.host.memTypes.nameOf(5)).toBe("type 5");
});

test("attaching on the same thread: same layout, same bytes, no page allocator", () => {
  const subject = createCoreHost({ maxNetmems: 1500, maxOwners: 77 });
  const page = takePage(subject);
  const attached = attachHost(subject.host.share(), { clock: new VirtualClock() });
  expect(attached.layout).toEqual(subject.host.layout);
  subject.host.u8[subject.host.offsetOf(page)] = 42;
  expect(attached.u8[attached.offsetOf(page)]).toBe(42);
  expect([attached.attached, attached.threaded, subject.host.threaded]).toEqual([1, 1, 1]);
});

test.each([
  ["zeroed", (_words: Int32Array) => {}],
  ["of another layout version", (words: Int32Array) => words.set([createCoreHost().host.i32[0]!, LAYOUT_VERSION + 1])],
  ["filled with something else", (words: Int32Array) => words.fill(-1)],
])("attaching to memory that is %s is refused", (_what, fill) => {
  const memory = createMemory(4 * MIB);
  const words = new Int32Array(memory.buffer);
  fill(words);
  const error = errorOf(() => attachHost({ memory }, { clock: new VirtualClock() }));
  expect(error).toMatchObject({ code: "ERR_NETMEM_LAYOUT_MISMATCH", param: "shared", value: words[1] });
  expect(String(error["message"])).toContain(`layout ${LAYOUT_VERSION}`);
});

test("a second copy of core in the process is refused, and both are named", async () => {
  const copy = (await import(`../src/host.ts?copy=${Date.now()}`)) as {
    createHost: typeof createHost;
    attachHost: typeof attachHost;
  };
  expect(copy.createHost).not.toBe(createHost);
  const { host } = createCoreHost();
  const params = {
    arenaBytes: 4 * MIB,
    clock: new VirtualClock(),
    pageAllocator: (made: typeof host) => new FakePages(made),
  };
  for (const call of [() => copy.createHost(params), () => copy.attachHost(host.share(), params)]) {
    const error = errorOf(call);
    expect(error).toMatchObject({ code: "ERR_NETMEM_DUPLICATE_CORE", param: "@netmem/core" });
    expect(String(error["message"])).toMatch(/core\/src\/host\.ts and .*core\/src\/host\.ts\?copy=\d+/);
  }
  expect(createCoreHost().host.pages.totalPageCount).toBeGreaterThan(0);
});

test("a host with 1 GiB says how long it takes to make", () => {
  const from = performance.now();
  const { host } = createCoreHost({ arenaBytes: 2 ** 30 });
  expect([host.layout.pageCount, host.u8.length]).toEqual([2 ** 18, 2 ** 30]);
  console.log(`host with 1 GiB: ${(performance.now() - from).toFixed(1)} ms`);
});

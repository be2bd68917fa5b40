import { expect, test } from "vitest";
import {
  type ArenaMap,
  createHugeBacking,
  isKernelAtLeast,
  openArenaMap,
  openSystem,
  parseMemoryRegions,
  readHugePageReserves,
  type System,
} from "../src/index.ts";
import { capabilitiesIn } from "../src/capabilities.ts";
import { hugetlbTest, linux, linuxTest, thpTest } from "./linux-needs.ts";
import { createTestHost, type TestHost } from "./test-pages.ts";

const HUGE = 2 ** 21;
const range = (errno: string): unknown => expect.objectContaining({ code: "ERR_NETMEM_HUGE_RANGE", errno });

interface Subject extends TestHost {
  readonly map: ArenaMap;
}

function open(system: System): Subject {
  const test = createTestHost(32);
  return { ...test, map: openArenaMap(system, test.host) };
}

/** What every backing does: report, zeros, usable, refusals, and all gone afterwards. */
function exercise({ host, map }: Subject, kind: "hugetlb" | "thp"): void {
  const backing = createHugeBacking(map, { kind });
  expect(backing).toMatchObject({ kind, pageBytes: HUGE });
  expect((map.baseAddress + backing.firstOffset) % HUGE).toBe(0);
  const at = backing.firstOffset + 2 * HUGE;
  host.u8[at + 5] = 9;
  host.u8[at - 1] = 8;
  host.u8[at + 3 * HUGE] = 7;
  backing.back(at, 3 * HUGE);
  const report = backing.report();
  expect([report.hugetlbBytes, report.thpBytes]).toEqual(kind === "thp" ? [0, 3 * HUGE] : [3 * HUGE, 0]);
  expect([host.u8[at + 5], host.u8[at - 1], host.u8[at + 3 * HUGE]]).toEqual([0, 8, 7]);
  for (let offset = at; offset < at + 3 * HUGE; offset += 4096) host.u8[offset] = 1;
  expect(() => backing.back(at + HUGE, HUGE)).toThrow(range("EBUSY"));
  backing.release(at + HUGE, HUGE);
  expect([host.u8[at], host.u8[at + HUGE], host.u8[at + 2 * HUGE]]).toEqual([1, 0, 1]);
  expect(() => backing.release(at, 3 * HUGE)).toThrow(range("EINVAL"));
  backing.release(at, HUGE);
  backing.release(at + 2 * HUGE, HUGE);
  expect(backing.report()).toMatchObject({ hugetlbBytes: 0, thpBytes: 0 });
  expect([host.u8[at - 1], host.u8[at + 3 * HUGE]]).toEqual([8, 7]);
}

thpTest("memory is collapsed into transparent huge pages, and back", (system) => {
  exercise(open(system), "thp");
});

hugetlbTest("pages of the machine's reserve go under the arena, and back into the reserve", 3, (system) => {
  const free = (): number => readHugePageReserves().find((one) => one.pageBytes === HUGE)?.available ?? 0;
  const before = free();
  exercise(open(system), "hugetlb");
  expect(free()).toBe(before);
});

test("more huge pages than there are is the contract's error, and the range is as it was", (context) => {
  const reserve = linux.hugePages.find((one) => one.pageBytes === HUGE);
  const free = reserve?.available ?? Infinity;
  if (free > 8) context.skip(`hugetlb: ${free} free pages of 2 MiB, more than the test's arena, or no such pages`);
  const { host, map } = open(openSystem());
  const backing = createHugeBacking(map, { kind: "hugetlb" });
  const at = backing.firstOffset + HUGE;
  host.u8[at] = 3;
  expect(backing.available()).toBe(free);
  expect(() => backing.back(at, (free + 1) * HUGE)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_NO_HUGE_PAGES", errno: "ENOMEM" }),
  );
  expect(host.u8[at]).toBe(3);
  expect(() => backing.release(at, HUGE)).toThrow(range("EINVAL"));
});

const EAGAIN = 11;
const EBUSY = 16;
const MADV_COLLAPSE = 25;

test.for([EAGAIN, EBUSY])(
  "no huge page for now, or for this control group (errno %i), is the same error",
  (errno, context) => {
    if (linux.thpBytes !== HUGE) context.skip(`thp: pages of ${linux.thpBytes} bytes, not 2 MiB`);
    const real = openSystem();
    let refused = 0;
    const koffi = Object.create(real.koffi, {
      errno: { value: () => (refused > 0 ? errno : real.koffi.errno()) },
    }) as unknown;
    const madvise: typeof real.libc.madvise = (address, bytes, advice) => {
      if (advice !== MADV_COLLAPSE) return real.libc.madvise(address, bytes, advice);
      refused++;
      return -1;
    };
    const libc = { ...real.libc, madvise };
    const { host, map } = open(Object.create(real, { libc: { value: libc }, koffi: { value: koffi } }) as System);
    const backing = createHugeBacking(map, { kind: "thp" });
    const at = backing.firstOffset + HUGE;
    expect(() => backing.back(at, HUGE)).toThrow(
      expect.objectContaining({ code: "ERR_NETMEM_NO_HUGE_PAGES", errno: "ENOMEM" }),
    );
    expect([refused, host.u8[at]]).toEqual([1, 0]);
  },
);

linuxTest("sizes that the machine does not have are refused by name", [], (system) => {
  const { map } = open(system);
  const invalid = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", param: "pageBytes" });
  expect(() => createHugeBacking(map, { kind: "hugetlb", pageBytes: 12345 })).toThrow(invalid);
  expect(() => createHugeBacking(map, { kind: "thp", pageBytes: 2 ** 30 })).toThrow(invalid);
});

linuxTest("the report says what is here and what is missing", [], () => {
  expect(linux.systemCalls).toEqual({ available: true, reason: "" });
  expect(isKernelAtLeast(linux.kernelRelease, "2.6")).toBe(true);
  for (const { available, reason } of [linux.afXdp, linux.bpf, linux.xdpAttach, linux.netNamespaces]) {
    expect(available).toBe(reason === "");
  }
  expect(linux.memlockBytes).toBeGreaterThan(0);
});

test("releases compare by number, whatever follows them", () => {
  const answers = ["6.18.44-fc-v657", "5.15.0-1-generic", "5.14.21", "5.9", "10.0"].map((one) =>
    isKernelAtLeast(one, "5.15"),
  );
  expect(answers).toEqual([true, true, false, false, true]);
});

test("capabilities are read from the mask; the old big one stands for the newer two", () => {
  expect([...capabilitiesIn("0000000000003000")]).toEqual(["CAP_NET_ADMIN", "CAP_NET_RAW"]);
  expect([...capabilitiesIn("0000000000200000")]).toEqual(["CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON"]);
  expect([...capabilitiesIn("000001ffffffffff")]).toHaveLength(7);
  expect([...capabilitiesIn("0")]).toEqual([]);
});

test("regions of an smaps file", () => {
  const text = `7f0000000000-7f0000200000 rw-p 00000000 00:0f 1234                       /anon_hugepage (deleted)
Size:               2048 kB
KernelPageSize:     2048 kB
Rss:                   0 kB
AnonHugePages:         0 kB
Private_Hugetlb:    2048 kB
VmFlags: rd wr mr mw me dc de ht 
7f0000200000-7f0000201000 ---p 00000000 00:00 0 
Size:                  4 kB
KernelPageSize:        4 kB
Rss:                   0 kB
VmFlags: mr mw me
`;
  const [huge, guard] = parseMemoryRegions(text);
  expect(huge).toMatchObject({ permissions: "rw-p", kernelPageBytes: HUGE, residentBytes: HUGE, anonHugeBytes: 0 });
  expect([huge!.to - huge!.from, huge!.flags.at(-1)]).toEqual([HUGE, "ht"]);
  expect(guard).toMatchObject({ from: 0x7f0000200000, permissions: "---p", file: "", residentBytes: 0 });
  expect(parseMemoryRegions("")).toEqual([]);
});

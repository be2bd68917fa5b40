/** Real huge pages under providers and pools: what the packages of both sides say about themselves is true together. */
import { createHost, type Host } from "@netmem/core";
import { createDirectDevice } from "@netmem/dma";
import { createHugeProvider, type HugeProvider } from "@netmem/hugepage";
import {
  type ArenaMap,
  createHugeBacking,
  type LinuxHugeBacking,
  openArenaMap,
  openSystem,
  probeLinux,
} from "@netmem/linux";
import { createPageAllocator } from "@netmem/mm";
import { createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { VirtualClock } from "@netmem/testing";
import { expect, test, type TestContext } from "vitest";

const MIB = 2 ** 20;
const HUGE = 2 * MIB;
const CHUNKS = 4;
const PAGES = CHUNKS * 512;

type Kind = "hugetlb" | "thp";

interface Subject {
  readonly host: Host;
  readonly map: ArenaMap;
  readonly backing: LinuxHugeBacking;
  readonly provider: HugeProvider;
  readonly warnings: string[];
  readonly freePages: number;
}

function whyNot(kind: Kind): string | null {
  const { systemCalls, thpBytes, hugePages } = probeLinux();
  if (!systemCalls.available) return `system calls: ${systemCalls.reason}`;
  if (kind === "thp") return thpBytes === HUGE ? null : `thp: pages of ${thpBytes} bytes, not 2 MiB`;
  const free = hugePages.find((one) => one.pageBytes === HUGE)?.available ?? 0;
  return free >= CHUNKS ? null : `hugetlb: needs ${CHUNKS} free pages of 2 MiB, there are ${free} (vm.nr_hugepages)`;
}

function open(context: TestContext, kind: Kind): Subject {
  const reason = whyNot(kind);
  if (reason !== null) context.skip(reason);
  const warnings: string[] = [];
  const host = createHost({
    arenaBytes: 64 * MIB,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    dma: createDirectDevice,
    onWarning: ({ message }) => warnings.push(message),
  });
  const map = openArenaMap(openSystem(), host);
  const backing = createHugeBacking(map, { kind });
  const provider = createHugeProvider(host, { backing, chunks: CHUNKS, fallback: false });
  host.providers.register(provider);
  const subject = { host, map, backing, provider, warnings };
  // The heap keeps the page that it cuts a pool's records from.
  createPool(subject).destroy();
  return { ...subject, freePages: host.pages.freePageCount() };
}

function createPool({ host, provider }: Pick<Subject, "host" | "provider">): PagePool {
  return createPagePool(host, {
    poolSize: 1024,
    flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    rxq: { ifindex: 2, queueIdx: 0, provider },
  });
}

const hugeBytes = ({ backing }: Subject): number => {
  const { hugetlbBytes, thpBytes } = backing.report();
  return hugetlbBytes + thpBytes;
};

test.for(["thp", "hugetlb"] as const)(
  "%s: the pages of a pool lie in huge pages, all of them, and go home",
  (kind, context) => {
    const subject = open(context, kind);
    const { host, warnings } = subject;
    const pool = createPool(subject);
    expect(hugeBytes(subject)).toBe(CHUNKS * HUGE);
    const refs = Array.from({ length: PAGES }, () => pool.allocNetmem());
    expect([refs.includes(0), pool.allocNetmem()]).toEqual([false, 0]);
    const before = subject.backing.report().ordinaryBytes;
    for (const ref of refs)
      if (ref !== 0) host.u8.fill(1, host.offsetOf(ref as never), host.offsetOf(ref as never) + 4096);
    // Every byte of every page was written, and not one of them took ordinary memory.
    expect(subject.backing.report().ordinaryBytes - before).toBeLessThan(PAGES * 4096 * 0.05);
    expect(hugeBytes(subject)).toBe(CHUNKS * HUGE);
    for (const ref of refs) if (ref !== 0) pool.putFullPage(ref);
    pool.destroy();
    expect([hugeBytes(subject), host.pages.freePageCount(), warnings]).toEqual([0, subject.freePages, []]);
  },
);

test.for(["thp", "hugetlb"] as const)(
  "%s: a chunk that the kernel holds is not taken away under it",
  (kind, context) => {
    const subject = open(context, kind);
    const { map, host, warnings } = subject;
    const pool = createPool(subject);
    const first = host.layout.firstPageIdx * host.pageSizeBytes;
    const pin = map.pin("umem", first, host.layout.arenaBytes - first);
    pool.destroy();
    expect(hugeBytes(subject)).toBe(CHUNKS * HUGE);
    expect(warnings).toHaveLength(CHUNKS);
    expect(warnings[0]).toContain("ERR_NETMEM_RANGE_PINNED");
    map.unpin(pin);
  },
);

test("a page that a pool holds is not remapped", (context) => {
  const { host, map, backing } = open(context, "thp");
  const pool = createPagePool(host, { poolSize: 64 });
  const place = Math.floor(host.layout.arenaBytes / HUGE / 2);
  const at = backing.firstOffset + place * HUGE;
  for (;;) {
    const ref = pool.allocPages();
    if (ref === 0) throw new Error("the host is out of pages");
    const offset = host.offsetOf(ref);
    if (offset < at || offset >= at + HUGE) continue;
    host.u8[offset] = 7;
    expect(() => backing.back(at, HUGE)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_RANGE_IN_USE" }));
    expect(host.u8[offset]).toBe(7);
    break;
  }
  map.close();
});

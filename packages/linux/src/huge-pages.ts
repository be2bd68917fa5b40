import { builtin } from "./node-builtins.ts";

const HUGEPAGES = "/sys/kernel/mm/hugepages";
const THP_ENABLED = "/sys/kernel/mm/transparent_hugepage/enabled";

/** The kernel's reserve of huge pages of one size. Counts of pages, for the whole machine. */
export interface HugePageReserve {
  readonly pageBytes: number;
  readonly total: number;
  /** Free and not promised to anybody. */
  readonly available: number;
}

/** When the kernel makes transparent huge pages by itself; `madvise`: where it was asked to, as we do. */
export type ThpSetting = "always" | "madvise" | "never" | "absent";

function readNumber(path: string): number {
  return Number(builtin("node:fs").readFileSync(path, "utf8").trim());
}

function readReserve(dir: string): HugePageReserve {
  const path = `${HUGEPAGES}/${dir}`;
  const free = readNumber(`${path}/free_hugepages`) - readNumber(`${path}/resv_hugepages`);
  return {
    pageBytes: Number.parseInt(dir.slice("hugepages-".length), 10) * 1024,
    total: readNumber(`${path}/nr_hugepages`),
    available: Math.max(0, free),
  };
}

/** The reserves, smallest pages first. Only read: raising vm.nr_hugepages is for who runs the machine. */
export function readHugePageReserves(): HugePageReserve[] {
  const fs = builtin("node:fs");
  if (!fs.existsSync(HUGEPAGES)) return [];
  const dirs = fs.readdirSync(HUGEPAGES).filter((dir) => /^hugepages-\d+kB$/.test(dir));
  return dirs.map(readReserve).toSorted((a, b) => a.pageBytes - b.pageBytes);
}

export function readThpSetting(): ThpSetting {
  const fs = builtin("node:fs");
  if (!fs.existsSync(THP_ENABLED)) return "absent";
  const setting = /\[(\w+)\]/.exec(fs.readFileSync(THP_ENABLED, "utf8"))?.[1];
  return setting === "always" || setting === "madvise" ? setting : "never";
}

/** Bytes of a transparent huge page; 0 where the kernel has none. */
export function readThpBytes(): number {
  const path = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
  return builtin("node:fs").existsSync(path) ? readNumber(path) : 0;
}

/** Bytes that new mappings can get without swapping (MemAvailable). */
export function readAvailableBytes(): number {
  const text = builtin("node:fs").readFileSync("/proc/meminfo", "utf8");
  return Number(/^MemAvailable: +(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}

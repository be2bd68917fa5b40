import { failParam, type HugeBacking, NetmemError } from "@netmem/core";
import type { ArenaMap } from "./arena-map.ts";
import { readAvailableBytes, readHugePageReserves, readThpBytes } from "./huge-pages.ts";
import { readMemoryRegions } from "./memory-regions.ts";
import { isSystemCallError } from "./system-call-error.ts";

const TWO_MIB = 2 ** 21;
/** EAGAIN: none for now. EBUSY: the control group may not have more. EFAULT: the reserve was emptied meanwhile. */
const SHORTAGES: readonly string[] = ["ENOMEM", "EAGAIN", "EBUSY", "EFAULT"];

export interface HugeBackingParams {
  /**
   * `hugetlb`: pages that the machine's operator reserved (vm.nr_hugepages), which nobody can take away again. `thp`:
   * ordinary memory that the kernel collapses. `auto` (default): hugetlb if there is a page to be had, else thp.
   */
  readonly kind?: "hugetlb" | "thp" | "auto";
  /** 2 MiB (default) or 1 GiB for hugetlb; thp has one size. Bytes. */
  readonly pageBytes?: number;
}

/** What lies under the arena in fact, as the kernel reports it (/proc/self/smaps). Bytes. */
export interface HugeReport {
  readonly hugetlbBytes: number;
  readonly thpBytes: number;
  readonly ordinaryBytes: number;
}

function hugetlbAvailable(pageBytes: number): number {
  return readHugePageReserves().find((one) => one.pageBytes === pageBytes)?.available ?? 0;
}

function thpAvailable(pageBytes: number): number {
  return Math.floor(readAvailableBytes() / pageBytes);
}

function resolve({ kind = "auto", pageBytes = TWO_MIB }: HugeBackingParams): {
  kind: "hugetlb" | "thp";
  pageBytes: number;
} {
  if (kind === "hugetlb" || (kind === "auto" && hugetlbAvailable(pageBytes) > 0)) {
    const sizes = readHugePageReserves().map((one) => one.pageBytes);
    if (!sizes.includes(pageBytes))
      failParam("pageBytes", pageBytes, `one of ${sizes.join(", ")}`, "Use a size that the machine has.");
    return { kind: "hugetlb", pageBytes };
  }
  const size = readThpBytes();
  if (size !== pageBytes)
    failParam("pageBytes", pageBytes, `${size}, the size of a transparent huge page`, "Use hugetlb, or that size.");
  return { kind: "thp", pageBytes };
}

/** What the kernel says when it has no huge pages becomes the contract's error; everything else stays as it is. */
function translate(error: unknown, bytes: number): never {
  const isShortage = isSystemCallError(error) && SHORTAGES.includes(error.errno ?? "");
  if (!isShortage) throw error;
  throw new NetmemError({
    code: "ERR_NETMEM_NO_HUGE_PAGES",
    errno: "ENOMEM",
    reason: `the kernel has no huge pages for ${bytes} bytes`,
    remedy: "Reserve some (sysctl vm.nr_hugepages), free memory, or ask for fewer.",
    param: "bytes",
    value: bytes,
    cause: error,
  });
}

/** Real huge pages under the arena; see core's contract `HugeBacking`. */
export class LinuxHugeBacking implements HugeBacking {
  readonly kind: "hugetlb" | "thp";
  readonly pageBytes: number;
  readonly firstOffset: number;
  private readonly map: ArenaMap;

  /** @internal Use {@link createHugeBacking}. */
  constructor(map: ArenaMap, kind: "hugetlb" | "thp", pageBytes: number) {
    this.map = map;
    this.kind = kind;
    this.pageBytes = pageBytes;
    this.firstOffset = (pageBytes - (map.baseAddress % pageBytes)) % pageBytes;
  }

  available(): number {
    return this.kind === "hugetlb" ? hugetlbAvailable(this.pageBytes) : thpAvailable(this.pageBytes);
  }

  back(offsetBytes: number, bytes: number): void {
    try {
      this.map.backHuge(offsetBytes, bytes, this.pageBytes, this.kind);
    } catch (error) {
      translate(error, bytes);
    }
  }

  release(offsetBytes: number, bytes: number): void {
    this.map.releaseHuge(offsetBytes, bytes, this.pageBytes);
  }

  /** Reads what is under the arena, of any backing. Milliseconds. */
  report(): HugeReport {
    const { baseAddress, host } = this.map;
    return reportHuge(baseAddress, baseAddress + host.layout.arenaBytes);
  }
}

/** What lies under the addresses `[from, to)`. Ordinary bytes are those that were touched. */
function reportHuge(from: number, to: number): HugeReport {
  const regions = readMemoryRegions(from, to);
  const sum = (bytes: readonly number[]): number => bytes.reduce((total, one) => total + one, 0);
  const hugetlb = regions.filter((one) => one.flags.includes("ht"));
  const ordinary = regions.filter((one) => !one.flags.includes("ht"));
  const thpBytes = sum(ordinary.map((one) => one.anonHugeBytes));
  return {
    hugetlbBytes: sum(hugetlb.map((one) => one.to - one.from)),
    thpBytes,
    ordinaryBytes: sum(ordinary.map((one) => one.residentBytes)) - thpBytes,
  };
}

/**
 * Huge pages for a host, from the machine's reserve or made of ordinary memory. Changes no setting of the machine.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a size that there is not.
 */
export function createHugeBacking(map: ArenaMap, params: HugeBackingParams = {}): LinuxHugeBacking {
  const { kind, pageBytes } = resolve(params);
  return new LinuxHugeBacking(map, kind, pageBytes);
}

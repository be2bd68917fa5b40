import { builtin } from "./node-builtins.ts";

/** One mapping of the process, from `/proc/self/smaps`. Sizes in bytes. */
export interface MemoryRegion {
  readonly from: number;
  readonly to: number;
  /** `rw-p`, `---p`, `rw-s` ... */
  readonly permissions: string;
  /** The file behind it; "" for anonymous memory. */
  readonly file: string;
  /** Size of the pages under it: 4096, or that of a hugetlb page. */
  readonly kernelPageBytes: number;
  readonly residentBytes: number;
  /** Bytes of transparent huge pages in it. */
  readonly anonHugeBytes: number;
  /** `dc` (not copied to children), `ht` (hugetlb), `hg` ... */
  readonly flags: readonly string[];
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/;

function kilobytes(block: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB`, "m").exec(block)?.[1] ?? 0) * 1024;
}

function parseRegion(block: string): MemoryRegion | null {
  const head = HEAD.exec(block.slice(0, block.indexOf("\n")));
  if (head === null) return null;
  const [, from = "", to = "", permissions = "", file = ""] = head;
  return {
    from: Number.parseInt(from, 16),
    to: Number.parseInt(to, 16),
    permissions,
    file,
    kernelPageBytes: kilobytes(block, "KernelPageSize"),
    residentBytes: kilobytes(block, "Rss") + kilobytes(block, "Private_Hugetlb") + kilobytes(block, "Shared_Hugetlb"),
    anonHugeBytes: kilobytes(block, "AnonHugePages"),
    flags: (/^VmFlags: (.*)$/m.exec(block)?.[1] ?? "").trim().split(/\s+/),
  };
}

/** The regions in the text of an smaps file. */
export function parseMemoryRegions(smaps: string): MemoryRegion[] {
  const blocks = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return blocks.map(parseRegion).filter((region) => region !== null);
}

/** The process's regions that overlap `[from, to)`, in order of address. Milliseconds: control path and tests. */
export function readMemoryRegions(from: number, to: number): MemoryRegion[] {
  const text = builtin("node:fs").readFileSync("/proc/self/smaps", "utf8");
  return parseMemoryRegions(text).filter((region) => region.from < to && from < region.to);
}

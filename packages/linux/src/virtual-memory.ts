/*
 * Mappings of this process by address. Internal: a wrong address here corrupts the process, so the one caller that
 * takes ranges from outside is `ArenaMap`, which checks them in one function.
 */
import type { System } from "./system.ts";
import { SystemCallError } from "./system-call-error.ts";
import { Errno } from "./errno.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MAP_HUGETLB = 0x40000;
const MAP_HUGE_SHIFT = 26;
const MREMAP_MAYMOVE = 1;
const MREMAP_FIXED = 2;
const MADV_DONTNEED = 4;
const MADV_DONTFORK = 10;
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_WRITE = 23;
const MADV_COLLAPSE = 25;

function advise(system: System, address: number, bytes: number, advice: number): number {
  return system.errnoOr(system.libc.madvise(address, bytes, advice));
}

/**
 * Moves a mapping made elsewhere onto `address`, as the last thing that can fail; when it does, fresh ordinary memory lies
 * there. Mapping there at once would be shorter, but where the kernel refuses that, it has taken away what was there
 * already, and any thread may be given the hole.
 */
function moveTo(system: System, from: number, bytes: number, address: number): void {
  // Children must not get copies of what the kernel writes into; V8 says the same of the whole arena. Moves along.
  let result = advise(system, from, bytes, MADV_DONTFORK);
  if (result === 0) {
    result = system.errnoOr(system.libc.mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address));
  }
  if (result >= 0) return;
  system.libc.munmap(from, bytes);
  // Linux before 5.16 takes away what was there, and only then finds that huge pages do not move.
  placeAnonymous(system, address, bytes);
  throw new SystemCallError("mremap", -result, {
    action: "move a mapping into the arena",
    remedy: "Huge pages move from Linux 5.16 on; otherwise raise vm.max_map_count.",
  });
}

/** What is mapped; the name is for messages. */
export interface MappedFile {
  readonly fd: number;
  readonly fileOffset: number;
  readonly name: string;
}

/** Maps the range of a file at `address`, shared with the kernel or others, and takes its pages in. */
export function placeFile(system: System, address: number, bytes: number, file: MappedFile): void {
  const { fd, fileOffset, name } = file;
  const flags = MAP_SHARED | MAP_POPULATE;
  const from = system.errnoOr(system.libc.mmap(0, bytes, PROT_READ_WRITE, flags, fd, fileOffset));
  system.check("mmap", from, { action: `map ${name} into the arena`, param: "fd", value: fd });
  const populated = advise(system, from, bytes, MADV_POPULATE_WRITE);
  // EINVAL: a mapping of a driver, complete from the start, or a kernel older than 5.14. EFAULT: the file is too short.
  if (populated < 0 && populated !== -Errno.EINVAL) {
    system.libc.munmap(from, bytes);
    throw new SystemCallError("madvise", -populated, {
      action: `map ${bytes} bytes of ${name} into the arena: touching them would kill the process`,
      remedy: "Map no more than the file has.",
      param: "bytes",
      value: bytes,
    });
  }
  moveTo(system, from, bytes, address);
}

/** Puts pages of the kernel's huge-page reserve at `address`, all of them present: touching them cannot fail. */
export function placeHugetlb(system: System, address: number, bytes: number, pageBytes: number): void {
  const size = Math.log2(pageBytes) << MAP_HUGE_SHIFT;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size;
  const from = system.errnoOr(system.libc.mmap(0, bytes, PROT_READ_WRITE, flags, -1, 0));
  const context = {
    action: `take ${bytes / pageBytes} huge pages of ${pageBytes} bytes`,
    param: "bytes",
    value: bytes,
  };
  system.check("mmap", from, context);
  const populated = advise(system, from, bytes, MADV_POPULATE_WRITE);
  if (populated < 0) {
    system.libc.munmap(from, bytes);
    system.check("madvise", populated, context);
  }
  moveTo(system, from, bytes, address);
}

/** Puts fresh ordinary memory at `address`, as V8 had it. What was mapped there is let go. */
export function placeAnonymous(system: System, address: number, bytes: number): void {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  const at = system.errnoOr(system.libc.mmap(address, bytes, PROT_READ_WRITE, flags, -1, 0));
  system.check("mmap", at, { action: "put ordinary memory back into the arena" });
  system.check("madvise", advise(system, address, bytes, MADV_DONTFORK));
}

/**
 * Drops what ordinary memory holds and fills it with transparent huge pages, present and zero. Returns 0, or `-errno`
 * when the kernel found no huge pages (`-ENOMEM`, `-EAGAIN`, `-EBUSY`) or knows no MADV_COLLAPSE (`-EINVAL`).
 */
export function collapse(system: System, address: number, bytes: number): number {
  for (const advice of [MADV_DONTNEED, MADV_HUGEPAGE, MADV_POPULATE_WRITE, MADV_COLLAPSE]) {
    const result = advise(system, address, bytes, advice);
    if (result < 0) return result;
  }
  return 0;
}

/** Makes a file in memory of `bytes`; close its descriptor when it is mapped. */
export function createMemoryFile(system: System, name: string): number {
  const MFD_CLOEXEC = 1;
  return system.check("memfd_create", system.errnoOr(system.libc.memfd_create(name, MFD_CLOEXEC)));
}

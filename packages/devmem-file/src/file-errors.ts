import { NetmemError } from "@netmem/core";

/** The errno name that Node.js gives its errors, else "EIO". */
function errnoOf(cause: unknown): string {
  const code = (cause as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : "EIO";
}

/** Errors of one write that say nothing about the next: no room, a quota, a limit of the process. */
const PASSING: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG", "ENOMEM"]);

/** Whether the file can be written to after a write failed like this. */
export function isPassing(cause: unknown): boolean {
  return PASSING.has(errnoOf(cause));
}

/** What a landing rejects with that the file had no room for; the memory goes on. */
export function fileFull(offset: number, lengthBytes: number, cause: unknown): NetmemError {
  return new NetmemError({
    code: "ERR_NETMEM_FILE_FULL",
    errno: errnoOf(cause),
    reason: `${lengthBytes} bytes at ${offset} were not written: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: "Make room, or reserve the file's space before (preallocate); the memory goes on.",
    param: "offset",
    value: offset,
    cause,
  });
}

/** Throws `ERR_NETMEM_FILE_OPEN` with the errno of the system call. */
export function failOpen(path: string, cause: unknown): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FILE_OPEN",
    errno: errnoOf(cause),
    reason: `cannot use ${path} as device memory: ${cause instanceof Error ? cause.message : String(cause)}`,
    remedy: "Name a file that can be created and written; with direct, on a file system that has O_DIRECT.",
    param: "path",
    value: path,
    cause,
  });
}

import { CaptureError } from "@netmem/capture";

const systemReasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EISDIR: "is a directory",
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOTDIR: "a part of the path is not a directory",
};

/** One line about a file that could not be read to its end, or null when the error is of another kind. */
export function describeInputError(file: string, error: unknown): string | null {
  const line = (offset: number, reason: string): string =>
    `${file}: byte ${offset}: ${reason}`.replaceAll(/\s*\n\s*/g, " ");
  if (error instanceof CaptureError) return line(error.fileOffsetBytes, error.reason);
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return null;
  return line(0, systemReasons[String(error.code)] ?? error.message);
}

import { test } from "vitest";
import { type Availability, type LinuxReport, openSystem, probeLinux, type System } from "../src/index.ts";

type Need = "systemCalls" | "afXdp" | "bpf" | "netNamespaces";

/** Made once per test file: what of Linux is here. */
export const linux: LinuxReport = probeLinux();

const TIMEOUT_MS = 20_000;

function missing(needs: readonly Need[]): string | null {
  for (const name of ["systemCalls" as const, ...needs]) {
    const { available, reason }: Availability = linux[name];
    if (!available) return `${name}: ${reason}`;
  }
  return null;
}

/** A test that is skipped by name unless system calls, and what it needs besides, are here. */
export function linuxTest(title: string, needs: readonly Need[], body: (system: System) => void | Promise<void>): void {
  test(title, { timeout: TIMEOUT_MS }, async (context) => {
    const note = missing(needs);
    if (note !== null) context.skip(note);
    await body(openSystem());
  });
}

/** As {@link linuxTest}, for huge pages of 2 MiB out of the machine's reserve, which no test ever raises by itself. */
export function hugetlbTest(title: string, pages: number, body: (system: System) => void): void {
  test(title, (context) => {
    const free = linux.hugePages.find((one) => one.pageBytes === 2 ** 21)?.available ?? 0;
    if (free < pages) context.skip(`hugetlb: needs ${pages} free pages of 2 MiB, there are ${free} (vm.nr_hugepages)`);
    body(openSystem());
  });
}

/** As {@link linuxTest}, for transparent huge pages of 2 MiB. */
export function thpTest(title: string, body: (system: System) => void): void {
  test(title, (context) => {
    const note =
      missing([]) ?? (linux.thpBytes === 2 ** 21 ? null : `thp: pages of ${linux.thpBytes} bytes, not 2 MiB`);
    if (note !== null) context.skip(note);
    body(openSystem());
  });
}

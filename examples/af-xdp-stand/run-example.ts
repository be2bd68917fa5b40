import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { probeLinux } from "@netmem/linux";

/** Why the AF_XDP examples cannot run here, null when they can. */
export function whyNoAfXdp(): string | null {
  const report = probeLinux();
  const needs = [report.systemCalls, report.afXdp, report.bpf, report.xdpAttach, report.netNamespaces];
  return needs.find(({ available }) => !available)?.reason ?? null;
}

/** Runs the `main.ts` beside the folder of a test, and returns its output and exit code. */
export function runExample(
  testUrl: string,
  args: readonly string[],
): { readonly code: number | null; readonly lines: string[] } {
  const main = fileURLToPath(new URL("../main.ts", testUrl));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  return { code: status, lines: `${stdout}${stderr}`.split("\n").filter((line) => line !== "") };
}

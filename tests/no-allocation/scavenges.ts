import { spawnSync } from "node:child_process";

const child = new URL("child.ts", import.meta.url);
const SEMI_SPACE_MB = 16;

/** Garbage collections that a scenario caused between its two marks, in a process of its own. */
export function scavengesOf(scenario: string): number {
  const args = ["--trace-gc", `--max-semi-space-size=${SEMI_SPACE_MB}`, child.pathname, scenario];
  const result = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${scenario} failed: ${result.stderr}`);
  const lines = result.stdout.split("\n");
  const from = lines.findIndex((line) => line === "mark: begin");
  const to = lines.findIndex((line) => line === "mark: end");
  if (from < 0 || to < from) throw new Error(`${scenario} printed no marks: ${result.stdout.slice(-400)}`);
  return lines.slice(from, to).filter((line) => /: (Scavenge|Mark-Compact|Minor)/.test(line)).length;
}

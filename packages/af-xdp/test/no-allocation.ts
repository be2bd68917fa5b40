import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const CHILD_TIMEOUT_MS = 300_000;

/** Garbage collections between the child's marks, and bytes that its heap grew by. */
export function receiveInChild(packets: number): { readonly collections: number; readonly growthBytes: number } {
  const child = fileURLToPath(new URL("children/receiving.ts", import.meta.url));
  const args = ["--trace-gc", "--expose-gc", "--max-semi-space-size=16", child, String(packets)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: CHILD_TIMEOUT_MS });
  if (status !== 0) throw new Error(`the child failed: ${stderr}`);
  const lines = stdout.split("\n");
  const [from, to] = [lines.indexOf("mark: begin"), lines.indexOf("mark: end")];
  if (from < 0 || to < from) throw new Error(`no marks: ${stdout.slice(-400)}`);
  const collections = lines.slice(from, to).filter((line) => /: (Scavenge|Mark-Compact|Minor)/.test(line)).length;
  return { collections, growthBytes: Number(/growth: (-?\d+)/.exec(stdout)?.[1]) };
}

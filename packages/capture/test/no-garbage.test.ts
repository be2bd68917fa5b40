import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const child = fileURLToPath(new URL("read-many.ts", import.meta.url));

/** Garbage collections between the two marks of the child. */
function collections(mode: string): number {
  const args = ["--trace-gc", "--max-semi-space-size=1", child, mode];
  const output = execFileSync(process.execPath, args, { encoding: "utf8" });
  const between = /MARK\n(.*)MARK\n/s.exec(output)?.[1] ?? expect.unreachable(output);
  return between.split("\n").filter((line) => /Scavenge|Mark-Compact/.test(line)).length;
}

test("reading a packet makes no garbage, in pcap and pcapng, and the test would see one object per packet", () => {
  expect(collections("pcap")).toBeLessThanOrEqual(1);
  expect(collections("pcapng")).toBeLessThanOrEqual(1);
  expect(collections("leak")).toBeGreaterThan(5);
});

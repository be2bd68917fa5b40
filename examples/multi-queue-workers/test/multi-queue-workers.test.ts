import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

test.each([2, 3])("%i workers forward the whole capture, and every byte is right", (queues) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, String(queues)], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^verified: 10392 right, 0 wrong, 0 lost$/m);
  expect(stdout).toMatch(/^pools with buffers in flight: 0, workers left: 0$/m);
});

test("a number of queues that it cannot have is refused", () => {
  const { status, stderr } = spawnSync(process.execPath, [main, "1"], { encoding: "utf8" });
  expect([status, stderr]).toEqual([2, "usage: node main.ts [queues]: 2 to 8, not 1\n"]);
});

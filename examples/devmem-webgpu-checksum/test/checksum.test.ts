import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { softwareDriverEnv } from "@netmem/devmem-webgpu/software-driver";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const REUSE = fileURLToPath(new URL("reuse-child.ts", import.meta.url));
const env = softwareDriverEnv();
const noDriver = "there is no software driver: Debian's package chromium is not installed";

function runNode(
  file: string,
  args: readonly string[],
  extra: object | null = null,
): { status: number | null; stdout: string } {
  return spawnSync(process.execPath, [file, ...args], { env: { ...process.env, ...extra }, encoding: "utf8" });
}

test("the example runs on a GPU: every checksum right, no payload byte read back", ({ skip }) => {
  if (env === null) skip(noDriver);
  const { status, stdout } = runNode(MAIN, ["--software"]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^GPU: \w+/m);
  expect(stdout).toMatch(/^payload that this process read back: 0 bytes$/m);
  expect(stdout).toMatch(/^checksummed: \d+ tokens, 120000 bytes, 0 wrong, 0 packets dropped$/m);
});

test("without a GPU it says why, and the CPU does it", () => {
  const { status, stdout } = runNode(MAIN, [], { VK_ICD_FILENAMES: "/nowhere", VK_DRIVER_FILES: "/nowhere" });
  expect([status, stdout.match(/^(no GPU, so the CPU does it: .+|GPU: .+)$/m)?.length]).toEqual([0, 2]);
  expect(stdout).toMatch(/^checksummed: \d+ tokens, 120000 bytes, 0 wrong, 0 packets dropped$/m);
});

test("no packet lands under a shader that has not read yet, also when its tokens are returned", ({ skip }) => {
  if (env === null) skip(noDriver);
  const { status, stdout } = runNode(REUSE, [], env);
  expect(status).toBe(0);
  const outcome = JSON.parse(stdout) as { reused: { during: number; after: number } };
  expect(outcome).toMatchObject({ held: 64, wrong: 0, reused: { during: 0 } });
  // The pages do come round, so the hold was needed.
  expect(outcome.reused.after).toBeGreaterThan(64);
});

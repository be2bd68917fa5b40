import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { gpuCases } from "./run-suites.ts";
import { type ChildOutcome, runWithGpu } from "./gpu-process.ts";

describe("Node.js with the package webgpu", () => {
  let outcome: ChildOutcome;
  beforeAll(() => {
    outcome = runWithGpu("gpu-child.ts");
    console.log(`adapter: ${JSON.stringify(outcome.info ?? outcome.reason)}`);
  }, 120_000);

  for (const [name] of gpuCases()) {
    test(name, ({ skip }) => {
      if (outcome.reason !== undefined) skip(outcome.reason);
      const result = outcome.results?.find((one) => one.name === name);
      expect(result).toEqual({ name, error: null });
    });
  }

  test("what create() returned is held until the device is gone, also when the memory is dropped", ({ skip }) => {
    const { reason, isAlive } = runWithGpu("dropped-child.ts");
    if (reason !== undefined) skip(reason);
    expect(isAlive).toBe(true);
  });

  test("uploads from shared memory are refused before the call; landings take them", ({ skip }) => {
    const { reason, codes, landed } = runWithGpu("shared-view-child.ts");
    if (reason !== undefined) skip(reason);
    expect(codes).toEqual(["ERR_NETMEM_SHARED_VIEW", "ERR_NETMEM_SHARED_VIEW", "ERR_NETMEM_SHARED_VIEW", "none"]);
    expect(landed).toEqual([5, 6, 7, 8]);
  });

  test("the example in the README runs", ({ skip }) => {
    const { reason, printed } = runWithGpu("readme-child.ts");
    if (reason !== undefined) skip(reason);
    expect(printed?.[0]).toMatch(/^submissions: 1, copies: 1, to \w/);
    expect(printed?.slice(1)).toEqual(["64 checksums, 0 wrong, 0 bytes read back"]);
  });
});

test("without a driver or without the package: a reason, and no crash", () => {
  const path = fileURLToPath(new URL("readme-child.ts", import.meta.url));
  const env = { ...process.env, VK_ICD_FILENAMES: "/nowhere", VK_DRIVER_FILES: "/nowhere" };
  const { stdout, status } = spawnSync(process.execPath, [path], { env, encoding: "utf8" });
  expect([status, stdout.trimEnd().split("\n").at(-1)]).toEqual([
    0,
    expect.stringMatching(/^{"reason":"ERR_NETMEM_NO_GPU: .*driver|^{"printed"/),
  ]);
});

import { beforeAll, describe, expect, test } from "vitest";
import { noBrowser, runPage } from "./browser.ts";
import { type CaseResult, gpuCases } from "./run-suites.ts";

const SCRIPT = `
const post = (outcome) => fetch("/", { method: "POST", body: JSON.stringify(outcome) });
addEventListener("error", ({ message }) => post({ error: message }));
addEventListener("unhandledrejection", ({ reason }) => post({ error: String(reason) }));
try {
  const { openWebGpuMemory } = await import("@netmem/devmem-webgpu");
  const memory = await openWebGpuMemory({ sizeBytes: 4096 });
  await memory.close();
  const { runGpuCases } = await import("/packages/devmem-webgpu/test/run-suites.ts");
  await post({ isIsolated: crossOriginIsolated, info: memory.info, results: await runGpuCases() });
} catch (error) {
  await post({ error: String(error.stack ?? error), code: error.code });
}
`;

interface Outcome {
  readonly error?: string;
  readonly code?: string;
  readonly isIsolated?: boolean;
  readonly info?: object;
  readonly results?: readonly CaseResult[];
}

describe("a page in Chromium", () => {
  let outcome: Outcome = {};
  let reason = noBrowser;
  beforeAll(async () => {
    if (reason !== null) return;
    outcome = JSON.parse(await runPage(SCRIPT)) as Outcome;
    console.log(`adapter: ${JSON.stringify(outcome.info)}`);
    if (outcome.code === "ERR_NETMEM_NO_GPU") reason = `the browser has no adapter: ${outcome.error}`;
  }, 120_000);

  test("has its sources, shared memory and a GPU", ({ skip }) => {
    if (reason !== null) skip(reason);
    expect([outcome.error, outcome.isIsolated]).toEqual([undefined, true]);
  });

  for (const [name] of gpuCases()) {
    test(name, ({ skip }) => {
      if (reason !== null) skip(reason);
      expect(outcome.results?.find((one) => one.name === name)).toEqual({ name, error: null });
    });
  }
});

import { defineConfig } from "vitest/config";
import { SkipReporter } from "./tools/skip-reporter.ts";

const project = (name: string, include: string[], extra: object = {}) => ({
  extends: true as const,
  test: { name, include, ...extra },
});

const testsNamed = (name: string): string[] =>
  ["packages/*/test", "examples/**/test", "tests", "tools/test"].map((dir) => `${dir}/**/${name}`);

const workerTests = "**/*.worker.test.ts";
const soakTests = "**/*.soak.test.ts";

export default defineConfig({
  test: {
    // Vite's module runner rewrites imports and makes the data path ten times slower.
    experimental: { viteModuleRunner: false },
    execArgv: ["--expose-gc"],
    reporters: ["default", new SkipReporter(), "json"],
    outputFile: { json: ".report/vitest.json" },
    projects: [
      project("unit", testsNamed("*.test.ts"), {
        exclude: ["**/node_modules/**", workerTests, soakTests, "tests/mutants/**"],
        testTimeout: 30_000,
      }),
      project("worker", testsNamed("*.worker.test.ts"), { testTimeout: 60_000, fileParallelism: false }),
      project("soak", testsNamed("*.soak.test.ts"), { testTimeout: 600_000 }),
    ],
  },
});

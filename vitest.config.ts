import { defineConfig } from "vitest/config";
import { SkipReporter } from "./tools/skip-reporter.ts";

const project = (name: string, include: string[], extra: object = {}) => ({
  extends: true as const,
  test: { name, include, ...extra },
});

const workerTests = "**/*.worker.test.ts";

export default defineConfig({
  test: {
    // Vite's module runner rewrites imports and makes the data path ten times slower.
    experimental: { viteModuleRunner: false },
    execArgv: ["--expose-gc"],
    reporters: ["default", new SkipReporter(), ["json", { outputFile: ".report/vitest.json" }]],
    projects: [
      project("unit", ["packages/*/test/**/*.test.ts", "examples/**/test/**/*.test.ts", "tests/**/*.test.ts"], {
        exclude: ["**/node_modules/**", workerTests, "**/*.soak.test.ts", "tests/mutants/**"],
        testTimeout: 30_000,
      }),
      project("worker", [`packages/*/test/${workerTests}`], { testTimeout: 60_000, fileParallelism: false }),
      project("soak", ["packages/*/test/**/*.soak.test.ts", "tests/**/*.soak.test.ts"], { testTimeout: 600_000 }),
    ],
  },
});

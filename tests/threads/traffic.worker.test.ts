import { expect, test } from "vitest";
import { UNSENT_MAX } from "./traffic-input.ts";
import { runTraffic, type TrafficParams, type TrafficReport } from "./traffic.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const quiet = { count: 200_000, workers: 2, seed, killEvery: 0, ringSize: 1024, fragments: false, supply: false };

async function run(params: TrafficParams): Promise<TrafficReport> {
  const from = performance.now();
  const report = await runTraffic(params);
  const { handedOut, supplied, delivered, reclaims, peak } = report;
  const ms = (performance.now() - from).toFixed(0);
  console.log(
    `NETMEM_SEED=${params.seed}: ${handedOut} handed out, ${supplied} the other way, ${delivered} came by the inbox, ` +
      `at most ${peak} out, ${reclaims.length} workers killed, ${ms} ms`,
  );
  return report;
}

/** Nothing lost, nothing twice. */
function expectHome({ missing, refused, warnings }: TrafficReport): void {
  expect({ missing, refused, warnings }).toEqual({ missing: [0, 0, 0], refused: 0, warnings: [] });
}

test("200,000 buffers of three pools returned by two workers in batches of any size", async () => {
  const report = await run(quiet);
  expectHome(report);
  expect(report.delivered).toBeGreaterThan(100_000);
});

test("the same through rings of 16: most go by overflow lists", async () => {
  expectHome(await run({ ...quiet, ringSize: 16 }));
});

test("buffers split between workers: the last holder brings each home", async () => {
  expectHome(await run({ ...quiet, count: 100_000, workers: 3, fragments: true }));
});

test("workers with pools of their own, whose buffers come back from the main thread", async () => {
  const report = await run({ ...quiet, count: 100_000, supply: true });
  expectHome(report);
  expect(report.supplied).toBeGreaterThan(1000);
});

test("a worker killed every 10,000 buffers: what it held comes home, and another takes its place", async () => {
  const report = await run({ ...quiet, count: 100_000, killEvery: 10_000 });
  expectHome(report);
  expect(report.reclaims.length).toBeGreaterThanOrEqual(9);
});

test("the same with pools of their own, which the main thread takes over", async () => {
  const report = await run({ ...quiet, count: 100_000, killEvery: 10_000, supply: true, ringSize: 16 });
  expectHome(report);
  const adopted = report.reclaims.flatMap((one) => one.adopted);
  expect(adopted.length).toBe(report.reclaims.length);
  console.log(`${adopted.length} pools taken over, ${report.unsent.length} died with a batch in their hands`);
  for (const count of report.unsent) expect(count).toBeLessThanOrEqual(UNSENT_MAX);
  expect(report.unsent.length).toBeLessThan(adopted.length);
});

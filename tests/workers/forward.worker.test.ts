import { expect, test } from "vitest";
import { type ForwardParams, type ForwardReport, runForward } from "./forward.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
/** The heap keeps pages that it cut; what a killed thread was about to note is lost. */
const HEAP_PAGES = 8;

async function run(params: Omit<ForwardParams, "seed">): Promise<ForwardReport> {
  const from = performance.now();
  const report = await runForward({ ...params, seed });
  const { nic, sent, results, deaths, missingPages, ringPages } = report;
  const consumed = results.reduce((sum, one) => sum + one.consumed, 0);
  console.log(
    `NETMEM_SEED=${seed}: ${nic.rxPackets} packets taken, ${nic.rxNoDesc} dropped by the NIC, ${sent} sent, ` +
      `${consumed} consumed, ${deaths.length} workers killed, ${missingPages} pages kept, ${ringPages} of them rings, ` +
      `${(performance.now() - from).toFixed(0)} ms`,
  );
  return report;
}

/** Nothing lost, nothing twice. */
function expectHome(report: ForwardReport): void {
  const { wrong, twice, refused, warnings, pools, workers, results } = report;
  expect({ wrong, twice, refused, warnings, pools, workers }).toEqual({
    wrong: 0,
    twice: 0,
    refused: 0,
    warnings: [],
    pools: 0,
    workers: 1,
  });
  expect(results.map((one) => one.wrong)).toEqual(results.map(() => 0));
  expect(report.missingPages - report.ringPages).toBeGreaterThanOrEqual(0);
  expect(report.missingPages - report.ringPages).toBeLessThan(HEAP_PAGES);
}

/** Every packet that the NIC took came to one of the ends that there are. */
function expectAccounted({ nic, stats, sent, results }: ForwardReport): void {
  const sum = (of: (one: ForwardReport["stats"][number]) => number): number =>
    stats.reduce((total, one) => total + of(one), 0);
  const consumed = results.reduce((total, one) => total + one.consumed, 0);
  expect(sum((one) => one.rxPackets)).toBe(nic.rxPackets);
  expect(sent).toBe(nic.txPackets);
  const dropped = sum((one) => one.xdpDrop + one.xmitErrors + one.frameErrors + one.skbNoMem + one.rxBroken);
  expect(consumed + sent + dropped).toBe(nic.rxPackets);
}

test("two queues and a worker that only consumes: 100,000 packets forwarded at random", async () => {
  const report = await run({ count: 100_000, queues: 2, cpus: 1, killEvery: 0 });
  expectHome(report);
  expectAccounted(report);
  expect(report.deaths).toEqual([]);
  for (const { xdpRedirect } of report.stats.slice(0, 2)) expect(xdpRedirect).toBeGreaterThan(10_000);
});

test("three queues, every worker forwards to every other one", async () => {
  const report = await run({ count: 60_000, queues: 3, cpus: 0, killEvery: 0 });
  expectHome(report);
  expectAccounted(report);
});

test("a worker killed every 10,000 packets: what it had comes home, and another takes its place", async () => {
  const report = await run({ count: 100_000, queues: 2, cpus: 1, killEvery: 10_000 });
  expectHome(report);
  expect(report.deaths.length).toBeGreaterThanOrEqual(9);
  for (const { report: found, doubtful } of report.deaths) expect([found?.stranded, doubtful]).toEqual([[], []]);
  expect(report.deaths.some(({ taken }) => taken > 0)).toBe(true);
});

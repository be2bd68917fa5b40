import { expect, test } from "vitest";
import { runTraffic } from "./traffic.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
/** Each about half a minute on two cores. */
const COUNT = 5_000_000;

test.each([
  { ringSize: 1024, killEvery: 250_000, fragments: false, supply: true },
  { ringSize: 16, killEvery: 0, fragments: true, supply: true },
])("five million buffers: %o", async (params) => {
  const report = await runTraffic({ count: COUNT, workers: 3, seed, ...params });
  const { handedOut, supplied, delivered, reclaims, unsent } = report;
  console.log(`NETMEM_SEED=${seed}: ${handedOut} out, ${supplied} back, ${delivered} by the inbox`);
  console.log(`${reclaims.length} killed, ${unsent.length} of them with a batch that was not sent`);
  expect([report.missing, report.refused, report.warnings]).toEqual([[0, 0, 0], 0, []]);
});

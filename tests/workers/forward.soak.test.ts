import { expect, test } from "vitest";
import { runForward } from "./forward.ts";

const SECONDS = 45;
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

test("packets forwarded at random while workers are killed, over and over", async () => {
  const until = performance.now() + SECONDS * 1000;
  let taken = 0;
  let deaths = 0;
  for (let round = 0; performance.now() < until; round++) {
    const queues = 2 + (round % 2);
    const report = await runForward({ count: 50_000, queues, cpus: 1, seed: seed + round, killEvery: 2500 });
    const { wrong, twice, refused, warnings, pools } = report;
    expect({ wrong, twice, refused, warnings, pools }, `NETMEM_SEED=${seed + round}`).toEqual({
      wrong: 0,
      twice: 0,
      refused: 0,
      warnings: [],
      pools: 0,
    });
    taken += report.nic.rxPackets;
    deaths += report.deaths.length;
  }
  console.log(`NETMEM_SEED=${seed}: ${taken} packets, ${deaths} workers killed`);
  expect(deaths).toBeGreaterThan(10);
});

import { expect, test } from "vitest";
import { runCompositions } from "./compositions.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
/** About a minute on two cores; `main.ts` runs any number. */
const PACKETS = 8_000_000;

test("millions of packets over every composition of a receive queue, changed under traffic", async () => {
  const report = await runCompositions({ packets: PACKETS, seed });
  const { sent, verified, wired, rounds, byQueue, zcrx, devmem, threadDeaths, changes } = report;
  console.log(
    `NETMEM_SEED=${seed}: ${sent} packets, ${verified} verified at their end, ${wired} on the wire, ${rounds} rounds`,
  );
  console.log(
    `by queue ${byQueue.join(" ")}; ${zcrx} to user areas, ${devmem} to device memory, ${threadDeaths} threads died`,
  );
  // A composition that nothing goes through proves nothing.
  expect(Math.min(...byQueue, zcrx, devmem)).toBeGreaterThan(PACKETS / 100);
  expect(Object.entries(changes).filter(([what, count]) => !what.includes(": ") && count < 100)).toEqual([]);
});

import { expect, test } from "vitest";
import { runCompositions } from "./compositions.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

test("every composition of a receive queue, changed under traffic: every byte right, everything home", async () => {
  console.log(`compositions: NETMEM_SEED=${seed}`);
  const report = await runCompositions({ packets: 80_000, roundPackets: 10_000, seed });
  console.log(
    `compositions: ${report.sent} packets, ${report.verified} verified at their end, ${report.wired} on the wire`,
  );
  expect(report.rounds).toBe(8);
});

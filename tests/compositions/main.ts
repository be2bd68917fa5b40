/**
 * The soak of `compositions.ts` for as long as you like: `node tests/compositions/main.ts --packets 1e7 --seed 1`. Exits with
 * an error at the first thing that is wrong.
 */
import { parseArgs } from "node:util";
import { runCompositions } from "./compositions.ts";

const { values } = parseArgs({
  options: {
    packets: { type: "string", default: "1e7" },
    seed: { type: "string", default: String(Date.now() & 0x7fffffff) },
    "round-packets": { type: "string", default: "1e5" },
    verbose: { type: "boolean", default: false },
  },
});

const seed = Number(values.seed);
console.log(`NETMEM_SEED=${seed}`);
const from = performance.now();
const report = await runCompositions({
  packets: Number(values.packets),
  roundPackets: Number(values["round-packets"]),
  seed,
  onRound: ({ rounds, sent }) => {
    if (values.verbose)
      console.log(`round ${rounds}: ${sent} packets, ${((performance.now() - from) / 1000).toFixed(1)} s`);
  },
});
const seconds = (performance.now() - from) / 1000;
if (values.verbose) console.log(report);
console.log(
  `${report.sent} packets in ${seconds.toFixed(1)} s: ${report.verified} verified at their end, ${report.wired} on the wire, ` +
    `${report.rounds} rounds, everything home`,
);

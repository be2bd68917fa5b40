/**
 * The traffic of `traffic.ts` for as long as you like: `node tests/threads/main.ts --count 1e8 --workers 3 --kill-every 1e6`.
 * Exit status 1 if a buffer was lost or came home twice.
 */
import { parseArgs } from "node:util";
import { runTraffic } from "./traffic.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1e7" },
    workers: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() & 0x7fffffff) },
    "ring-size": { type: "string", default: "1024" },
    "kill-every": { type: "string", default: "0" },
    fragments: { type: "boolean", default: false },
    supply: { type: "boolean", default: false },
  },
});

const from = performance.now();
const report = await runTraffic({
  count: Number(values.count),
  workers: Number(values.workers),
  seed: Number(values.seed),
  ringSize: Number(values["ring-size"]),
  killEvery: Number(values["kill-every"]),
  fragments: values.fragments,
  supply: values.supply,
});
const seconds = (performance.now() - from) / 1000;
const { handedOut, supplied, delivered, refused, missing, unsent, reclaims, warnings } = report;
console.log(`seed ${values.seed}: ${handedOut} buffers in ${seconds.toFixed(1)} s, ${supplied} the other way`);
console.log(`${delivered} came by the inbox, ${refused} refused, missing ${missing.join(" ")}`);
console.log(`${reclaims.length} workers killed, ${unsent.length} of them with a batch that was not sent`);
for (const { code, message } of warnings.slice(0, 10)) console.log(`${code}: ${message}`);
process.exitCode = missing.some((count) => count > 0) || refused > 0 ? 1 : 0;

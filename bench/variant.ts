/**
 * Child entry point: `node bench/variant.ts SUITE ROW --samples 3 --min-ms 5` measures one script row and prints one
 * line per sample, as the native yardsticks do.
 */

import { parseArgs } from "node:util";
import { loadSuite } from "./catalogue.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { samples: { type: "string", default: "3" }, "min-ms": { type: "string", default: "5" } },
});
const [suiteName = "", rowName = ""] = positionals;
const suite = await loadSuite(suiteName);
const row = suite?.rows.find((candidate) => candidate.name === rowName);
if (row?.kind !== "script") throw new Error(`no script row ${rowName} in suite ${suiteName}`);

const samples = await row.measure({ samples: Number(values.samples), minMs: Number(values["min-ms"]) });
for (const ns of samples) process.stdout.write(`${JSON.stringify({ ns })}\n`);

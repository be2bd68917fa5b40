/**
 * Child entry point: `node bench/variant.ts SUITE ROW --samples 3 --min-ms 5` measures one script row and prints one
 * line per sample, as the native yardsticks do.
 */

import { parseArgs } from "node:util";
import { loadSuite } from "./catalogue.ts";
import { AbsentError, type Sample } from "./suite.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { samples: { type: "string", default: "3" }, "min-ms": { type: "string", default: "5" } },
});
const [suiteName = "", rowName = ""] = positionals;
const suite = await loadSuite(suiteName);
const row = suite?.rows.find((candidate) => candidate.name === rowName);
if (row?.kind !== "script") throw new Error(`no script row ${rowName} in suite ${suiteName}`);

const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const lineOf = (sample: Sample): object => (typeof sample === "number" ? { ns: sample } : sample);
try {
  const samples = await row.measure({ samples: Number(values.samples), minMs: Number(values["min-ms"]) });
  for (const sample of samples) print(lineOf(sample));
} catch (error) {
  if (!(error instanceof AbsentError)) throw error;
  print({ absent: error.message });
}

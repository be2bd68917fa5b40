/** `pnpm bench [SUITE] [--json] [--samples N] [--quick] [--strict]` */

import { parseArgs } from "node:util";
import { loadSuite, suiteNames } from "./catalogue.ts";
import { describeMachine } from "./machine.ts";
import { failedRows, missedBars, renderText, reportSuite } from "./report.ts";
import type { Report, SuiteReport } from "./report.ts";
import { runSuite } from "./runner.ts";

const USAGE = "usage: pnpm bench [SUITE] [--json] [--samples N] [--quick] [--strict]";
const SAMPLES = 45;
const QUICK_SAMPLES = 6;
const SAMPLES_PER_PROCESS = 3;
const MIN_MS = 5;

interface Command {
  readonly suites: readonly string[];
  readonly samples: number;
  readonly json: boolean;
  readonly strict: boolean;
}

const OPTIONS = {
  json: { type: "boolean", default: false },
  quick: { type: "boolean", default: false },
  samples: { type: "string" },
  strict: { type: "boolean", default: false },
} as const;

/** What the caller typed; an Error with one line of text where it makes no sense. */
function parseCommand(args: string[]): Command {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: OPTIONS });
  const samples = Number(values.samples ?? (values.quick ? QUICK_SAMPLES : SAMPLES));
  if (!Number.isInteger(samples) || samples < 1) {
    throw new Error(`--samples takes an integer of at least 1, not ${values.samples}`);
  }
  if (positionals.length > 1) throw new Error(`one suite at a time, not ${positionals.join(" ")}`);
  const unknown = positionals.find((name) => !suiteNames().includes(name));
  if (unknown !== undefined) throw new Error(`unknown suite ${unknown}: there are ${suiteNames().join(", ")}`);
  const suites = positionals.length === 0 ? suiteNames() : positionals;
  return { suites, samples, json: values.json, strict: values.strict };
}

/** node:util's messages go on with advice about positionals that does not help here. */
function firstSentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(/\. |\n/)[0] ?? text;
}

async function measure(command: Command): Promise<Report> {
  const machine = describeMachine();
  const suites: SuiteReport[] = [];
  for (const name of command.suites) {
    const suite = await loadSuite(name);
    if (suite === undefined) throw new Error(`no suite ${name}`);
    const outcomes = await runSuite(suite, {
      samples: command.samples,
      samplesPerProcess: SAMPLES_PER_PROCESS,
      minMs: MIN_MS,
      progress: (line) => process.stderr.write(`${line}\n`),
    });
    suites.push(reportSuite(suite, outcomes));
  }
  return { machine, suites };
}

async function run(command: Command): Promise<number> {
  const report = await measure(command);
  process.stdout.write(`${command.json ? JSON.stringify(report) : renderText(report)}\n`);
  const broken = failedRows(report).length > 0;
  return broken || (command.strict && missedBars(report).length > 0) ? 1 : 0;
}

async function main(args: string[]): Promise<number> {
  let command: Command;
  try {
    command = parseCommand(args);
  } catch (error) {
    process.stderr.write(`bench: ${firstSentence(error)} (${USAGE})\n`);
    return 2;
  }
  return await run(command);
}

process.exitCode = await main(process.argv.slice(2));

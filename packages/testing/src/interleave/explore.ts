import { Explorer } from "./explorer.ts";
import { formatFailure, InterleaveError, type InterleaveFailure } from "./failure.ts";
import { Machine } from "./machine.ts";
import { MEMORY_MODELS, type MemoryModel } from "./memory-model.ts";
import { checkProgram, type InterleaveProgram } from "./program.ts";
import { replaySteps } from "./replay.ts";
import { findShortestFailure } from "./shortest-failure.ts";
import { type Step } from "./step.ts";
import { Judge } from "./verdict.ts";
import { WordNames } from "./word-names.ts";

const MAX_STATES = 2_000_000;
const MAX_STEPS = 500;
/** Bound on the search for the shortest failing schedule. */
const MAX_STATES_SHORTEST = 100_000;

export interface ExploreLimits {
  /** Ends the exploration, incomplete, after this many states. Default 2,000,000 (up to about 1 GB). */
  readonly maxStates?: number;
  /** Operations per thread, above which a schedule counts as a livelock. Default 500. */
  readonly maxSteps?: number;
  /** Explores only schedules that leave a thread that could go on at most so often. Default no bound. */
  readonly maxPreemptions?: number;
}

export interface ExploreOptions extends ExploreLimits {
  /** Default "weak". */
  readonly memory?: MemoryModel;
}

export interface InterleaveReport {
  readonly memory: MemoryModel;
  /** Whether all schedules (within the bound on preemptions) were covered: no failure, no limit reached. */
  readonly complete: boolean;
  /** Bound on preemptions, Infinity for none. */
  readonly maxPreemptions: number;
  /** Schedules covered; exact up to 2^53. 0 when the exploration ended early. */
  readonly schedules: number;
  /** Different states visited. */
  readonly states: number;
  /** The different ends, sorted. */
  readonly outcomes: readonly string[];
  /** A failure in as few steps as possible, or, where the shortest way was too far to search, the first found. */
  readonly failure: InterleaveFailure | null;
}

/**
 * Explores every schedule of a program under one memory model, up to the first failure. The same program gives the same
 * report. Cost: 2-10 us and about 0.5 KB per state.
 *
 * Throws RangeError or TypeError for a program that is no program, and UnsupportedAccessError where a thread does what
 * the model does not know or does not repeat itself.
 */
export function exploreInterleavings<Context>(
  program: InterleaveProgram<Context>,
  options: ExploreOptions = {},
): InterleaveReport {
  checkProgram(program);
  const { memory = "weak", maxStates = MAX_STATES, maxSteps = MAX_STEPS, maxPreemptions = Infinity } = options;
  const erased = program as InterleaveProgram<unknown>;
  const machine = new Machine(erased, memory, maxPreemptions !== Infinity);
  const judge = new Judge(erased, machine, new WordNames(erased), maxSteps);
  const explorer = new Explorer(machine, judge, { maxStates, maxPreemptions });
  explorer.search();
  const { complete, schedules, states, outcomes, verdict } = explorer;
  const failure = verdict && failureOf(erased, memory, maxSteps, explorer.path);
  return { memory, complete, maxPreemptions, schedules, states, outcomes, failure };
}

/**
 * Explores a program under all three memory models, data races ("sc") first, and returns the reports.
 * Throws InterleaveError at the first failure, and where a limit ended the exploration.
 */
export function verifyInterleavings<Context>(
  program: InterleaveProgram<Context>,
  limits: ExploreLimits = {},
): readonly InterleaveReport[] {
  return MEMORY_MODELS.map((memory) => {
    const report = exploreInterleavings(program, { ...limits, memory });
    if (report.failure !== null) throw new InterleaveError(formatFailure(report.failure), report.failure);
    if (!report.complete) throw new InterleaveError(`not explored to the end: ${formatReport(report)}`, null);
    return report;
  });
}

/** One line: `weak: 1,234 schedules, 321 states, complete`. */
export function formatReport(report: InterleaveReport): string {
  const { memory, schedules, states, complete, maxPreemptions, failure } = report;
  const count = schedules < 1e15 ? schedules.toLocaleString("en-US") : schedules.toExponential(2);
  const bound = maxPreemptions === Infinity ? "" : `, at most ${maxPreemptions} preemptions`;
  const end = failure === null ? (complete ? "complete" : "NOT complete") : `${failure.kind} found`;
  return `${memory}: ${count} schedules, ${states.toLocaleString("en-US")} states${bound}, ${end}`;
}

function failureOf(
  program: InterleaveProgram<unknown>,
  model: MemoryModel,
  maxSteps: number,
  path: readonly Step[],
): InterleaveFailure | null {
  const machine = new Machine(program, model, false);
  const judge = new Judge(program, machine, new WordNames(program), maxSteps);
  const steps = findShortestFailure(machine, judge, MAX_STATES_SHORTEST) ?? path;
  return replaySteps(program, { model, maxSteps, steps }).failure;
}

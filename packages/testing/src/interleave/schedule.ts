import { MEMORY_MODELS, type MemoryModel } from "./memory-model.ts";
import { formatStep, parseStep, type Step } from "./step.ts";

/** A run of a program, as one line of text: `weak maxSteps=500: producer producer!3 consumer?1`. */
export interface Schedule {
  readonly model: MemoryModel;
  readonly maxSteps: number;
  readonly steps: readonly Step[];
}

export function formatSchedule({ model, maxSteps, steps }: Schedule, threadNames: readonly string[]): string {
  const tokens = steps.map((step) => formatStep(step, threadNames));
  return [`${model} maxSteps=${maxSteps}:`, ...tokens].join(" ");
}

/** Throws TypeError on a text that is no schedule of these threads. */
export function parseSchedule(text: string, threadNames: readonly string[]): Schedule {
  const match = /^\s*(\S+) maxSteps=(\d+):(.*)$/s.exec(text);
  const model = MEMORY_MODELS.find((name) => name === match?.[1]);
  if (match === null || model === undefined) throw new TypeError(`not a schedule: "${text}"`);
  const tokens = (match[3] ?? "").split(/\s+/).filter((token) => token !== "");
  return { model, maxSteps: Number(match[2]), steps: tokens.map((token) => parseStep(token, threadNames)) };
}

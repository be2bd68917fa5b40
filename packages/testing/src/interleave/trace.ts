import { type Machine } from "./machine.ts";
import { type MachineState } from "./machine-state.ts";
import { isPlain, type Operation } from "./operation.ts";
import { type Step } from "./step.ts";
import { forwarded } from "./store-buffer.ts";
import { type WordNames } from "./word-names.ts";

/** One line on a step: thread, operation, word, values. */
export function describeStep(
  machine: Machine,
  names: WordNames,
  before: MachineState,
  step: Step,
  after: MachineState,
): string {
  const name = machine.threadNames[step.thread] ?? "";
  const width = Math.max(...machine.threadNames.map(({ length }) => length));
  return `${name.padEnd(width)}  ${describeMove(machine, names, before, step, after)}`;
}

function describeMove(
  machine: Machine,
  names: WordNames,
  before: MachineState,
  step: Step,
  after: MachineState,
): string {
  const { thread, arg } = step;
  if (step.kind === "flush") return `    ${names.label(arg)} = ${after.memory[arg]!} becomes visible`;
  const { operation } = before.thread(thread).node;
  if (operation === null) return "has ended";
  const called = describeCall(operation, names);
  if (step.kind === "timeout") return `${called} times out`;
  const isDelayed = after.thread(thread).buffer.length > before.thread(thread).buffer.length;
  const delay = isDelayed ? ", visible later" : "";
  if (operation.kind === "notify") return `${called} wakes ${wokenNames(machine, before, after)}`;
  if (operation.kind === "wait" && after.isAsleep(thread)) return `${called} sleeps`;
  if (operation.kind === "store" || operation.kind === "atomicStore") return `${called}${delay}`;
  return `${called}${describeAnswer(before, step, after, operation)}${delay}`;
}

function describeCall({ kind, at, value, expected }: Operation, names: WordNames): string {
  const word = names.label(at);
  switch (kind) {
    case "load":
      return word;
    case "store":
      return `${word} = ${value}`;
    case "atomicLoad":
      return `Atomics.load ${word}`;
    case "atomicStore":
      return `Atomics.store ${word} = ${value}`;
    case "compareExchange":
      return `Atomics.compareExchange ${word}, ${expected} -> ${value}:`;
    case "wait":
      return `Atomics.wait ${word}, ${expected}:`;
    case "notify":
      return `Atomics.notify ${word}:`;
    case "pause":
      return "Atomics.pause";
    default:
      return `Atomics.${kind} ${word}, ${value}:`;
  }
}

function describeAnswer(
  before: MachineState,
  { thread, arg }: Step,
  after: MachineState,
  operation: Operation,
): string {
  if (operation.kind === "pause") return "";
  const { response } = after.thread(thread).node;
  const isOwn = forwarded(before.thread(thread).buffer, operation.at) !== undefined;
  const isStale = arg > 0;
  const present = before.memory[operation.at]!;
  const remark = isStale ? ` (early; now ${present})` : isOwn && isPlain(operation) ? " (its own)" : "";
  return ` is ${response}${remark}`;
}

function wokenNames(machine: Machine, before: MachineState, after: MachineState): string {
  const woken = before.sleepers.filter((sleeper) => !after.isAsleep(sleeper));
  return woken.map((sleeper) => machine.threadNames[sleeper] ?? "").join(", ") || "nobody";
}

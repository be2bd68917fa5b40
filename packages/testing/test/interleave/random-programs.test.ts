import { describe, expect, test } from "vitest";
import {
  exploreInterleavings,
  type InterleaveProgram,
  type MemoryModel,
  Prng,
  type ThreadBody,
} from "../../src/index.ts";

const WORDS = 2;
const MODELS: readonly MemoryModel[] = ["sc", "tso", "weak"];

interface Access {
  readonly kind: "load" | "store" | "atomicLoad" | "atomicStore" | "add";
  readonly at: number;
  readonly value: number;
}

type Code = readonly (readonly Access[])[];

/**
 * Straight-line threads. No thread loads plainly, or by an atomic load, what it has stored: forwarding from the store
 * buffer is what the reference does not know.
 */
function randomCode(prng: Prng, kinds: readonly Access["kind"][], threads: number, accesses: number): Code {
  let value = 0;
  return Array.from({ length: threads }, () => {
    const stored = new Set<number>();
    return Array.from({ length: accesses }, (): Access => {
      const at = prng.below(WORDS);
      let kind = prng.pick(kinds);
      if (stored.has(at) && kind === "load") kind = "store";
      if (stored.has(at) && kind === "atomicLoad") kind = "atomicStore";
      if (kind !== "load" && kind !== "atomicLoad") stored.add(at);
      return { kind, at, value: ++value };
    });
  });
}

function bodyOf(thread: readonly Access[]): ThreadBody<undefined> {
  return (i32) => {
    return thread.flatMap(({ kind, at, value }) => {
      if (kind === "load") return i32[at]!;
      if (kind === "atomicLoad") return Atomics.load(i32, at);
      if (kind === "add") return Atomics.add(i32, at, value);
      if (kind === "store") i32[at] = value;
      else Atomics.store(i32, at, value);
      return [];
    });
  };
}

function programOf(code: Code): InterleaveProgram {
  return {
    words: WORDS,
    threads: Object.fromEntries(code.map((thread, k) => [`T${k}`, bodyOf(thread)])),
    outcome: ({ i32, results }) => `${Object.values(results).join(" | ")} ; ${i32.join(" ")}`,
  };
}

const isLoad = ({ kind }: Access): boolean => kind === "load" || kind === "atomicLoad";
const isPlain = ({ kind }: Access): boolean => kind === "load" || kind === "store";

/** Whether the earlier of two accesses of a thread takes effect first. */
function keepsOrder(earlier: Access, later: Access, model: MemoryModel): boolean {
  if (model === "sc" || earlier.at === later.at) return true;
  if (model === "tso") return !(earlier.kind === "store" && isLoad(later));
  if (!isPlain(earlier) && (isLoad(earlier) || earlier.kind === "add")) return true;
  if (!isPlain(later) && !isLoad(later)) return true;
  if (!isPlain(earlier) && !isPlain(later)) return true;
  return isLoad(earlier) && !isLoad(later);
}

/** The ends of a program by another way: one memory, and each thread's accesses done in any order that it may keep. */
function reference(code: Code, model: MemoryModel): string[] {
  const ends = new Set<string>();
  const seen = new Set<string>();
  const results: (number | undefined)[][] = code.map((thread) => thread.map(() => undefined));
  const done = code.map((thread) => thread.map(() => false));
  const explore = (memory: readonly number[]): void => {
    const key = JSON.stringify([memory, results, done]);
    if (seen.has(key)) return;
    seen.add(key);
    if (done.flat().every(Boolean)) {
      const answers = results.map((of) => of.filter((value) => value !== undefined).join());
      ends.add(`${answers.join(" | ")} ; ${memory.join(" ")}`);
    }
    code.forEach((thread, t) =>
      thread.forEach((access, k) => {
        const isNext = thread.slice(0, k).every((earlier, j) => done[t]![j]! || !keepsOrder(earlier, access, model));
        if (done[t]![k]! || !isNext) return;
        const old = memory[access.at]!;
        const value = isLoad(access) ? old : access.kind === "add" ? old + access.value : access.value;
        done[t]![k] = true;
        if (isLoad(access) || access.kind === "add") results[t]![k] = old;
        explore(memory.map((word, at) => (at === access.at ? value : word)));
        done[t]![k] = false;
        results[t]![k] = undefined;
      }),
    );
  };
  explore(Array.from({ length: WORDS }, () => 0));
  return [...ends].sort();
}

function outcomes(code: Code, memory: MemoryModel): string[] {
  const report = exploreInterleavings(programOf(code), { memory });
  expect(report.complete).toBe(true);
  return [...report.outcomes];
}

const SHAPES = [
  { threads: 2, accesses: 3, programs: 300 },
  { threads: 2, accesses: 4, programs: 100 },
  { threads: 3, accesses: 2, programs: 150 },
  { threads: 3, accesses: 3, programs: 30 },
];

describe.each(SHAPES)(
  "random programs: $threads threads, $accesses accesses each",
  ({ threads, accesses, programs }) => {
    const seed = threads * 10 + accesses;
    const each = (kinds: readonly Access["kind"][], check: (code: Code) => void): void => {
      const prng = new Prng(seed);
      for (let k = 0; k < programs; k++) check(randomCode(prng, kinds, threads, accesses));
    };

    test("loads and stores end as in the reference, under every model", () => {
      each(["load", "store", "atomicLoad", "atomicStore"], (code) => {
        for (const memory of MODELS) {
          expect(outcomes(code, memory), `${memory} ${JSON.stringify(code)}`).toEqual(reference(code, memory));
        }
      });
    });

    test("with read-modify-writes, sc and tso end as in the reference, weak in at least as many ways", () => {
      each(["load", "store", "atomicLoad", "atomicStore", "add"], (code) => {
        expect(outcomes(code, "sc")).toEqual(reference(code, "sc"));
        expect(outcomes(code, "tso"), JSON.stringify(code)).toEqual(reference(code, "tso"));
        expect(outcomes(code, "weak"), JSON.stringify(code)).toEqual(expect.arrayContaining(reference(code, "weak")));
      });
    });

    test("programs without data races end alike under every model; some have races, some have none", () => {
      let racy = 0;
      each(["load", "store", "atomicLoad", "atomicStore", "add", "atomicLoad", "atomicStore", "add"], (code) => {
        const sc = exploreInterleavings({ ...programOf(code), forbidRaces: true }, { memory: "sc" });
        if (sc.failure !== null) racy++;
        else for (const memory of MODELS) expect(outcomes(code, memory)).toEqual([...sc.outcomes]);
      });
      expect(racy).toBeGreaterThan(0);
      expect(racy).toBeLessThan(programs);
    });
  },
);

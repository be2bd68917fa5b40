import {
  exploreInterleavings,
  formatReport,
  type InterleaveFailure,
  type InterleaveProgram,
  type MemoryModel,
  replaySchedule,
  type ThreadBody,
  verifyInterleavings,
} from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { acquireWithin, lockHolder, releaseLock, repairLock, tryLock } from "../src/index.ts";

const LOCK = 0;
const DATA = 1;
/** More than any schedule here uses up, where sleeps do not end by themselves. */
const MANY = 100;

type Thread = ThreadBody<undefined>;

/** What the lock guards: two plain accesses that must not be torn apart. */
function increment(i32: Int32Array): void {
  i32[DATA] = i32[DATA]! + 1;
}

/** Locks, increments, unlocks; says whether it got the lock. */
const user =
  (workerId: number, spins: number, sleeps: number, rounds = 1): Thread =>
  (i32) => {
    let got = 0;
    for (let round = 0; round < rounds; round++) {
      if (!acquireWithin(i32, LOCK, workerId, spins, sleeps)) continue;
      increment(i32);
      got++;
      releaseLock(i32, LOCK, workerId);
    }
    return got;
  };

function program(threads: Readonly<Record<string, Thread>>, timeouts: "fire" | "never" = "never"): InterleaveProgram {
  return {
    words: 2,
    names: { LOCK, DATA },
    threads,
    forbidRaces: ["DATA"],
    pause: "free",
    timeouts,
    check({ i32, results }) {
      const entered = Object.values(results).reduce<number>((sum, got) => sum + Number(got), 0);
      if (i32[DATA] !== entered) throw new Error(`${entered} threads were inside, ${i32[DATA]} counted`);
      if (i32[LOCK] !== 0) throw new Error(`the lock is left at ${i32[LOCK]}`);
    },
  };
}

function expectCorrect<Context>(name: string, subject: InterleaveProgram<Context>, maxPreemptions?: number): void {
  const reports = verifyInterleavings(subject, maxPreemptions === undefined ? {} : { maxPreemptions });
  console.log(`${name}: ${reports.map(formatReport).join("; ")}`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
}

function expectBug<Context>(
  subject: InterleaveProgram<Context>,
  memory: MemoryModel,
  kind: InterleaveFailure["kind"],
): void {
  const { failure } = exploreInterleavings(subject, { memory });
  if (failure === null) throw new Error(`no failure found under ${memory}`);
  expect(failure.kind, failure.message).toBe(kind);
  expect(replaySchedule(subject, failure.schedule)).toEqual({ failure, trace: failure.trace });
}

describe("the lock, in every interleaving", () => {
  test("two threads that sleep for it", () => {
    expectCorrect("2 sleepers", program({ a: user(0, 0, MANY), b: user(1, 0, MANY) }));
  });

  test("two threads, twice each", () => {
    expectCorrect("2 sleepers twice", program({ a: user(0, 0, MANY, 2), b: user(1, 0, MANY, 2) }));
  });

  test("three threads that sleep for it: no wake-up is lost", () => {
    expectCorrect("3 sleepers", program({ a: user(0, 0, MANY), b: user(1, 0, MANY), c: user(2, 0, MANY) }));
  });

  test("one that spins once and two that sleep", () => {
    expectCorrect("spinner and 2 sleepers", program({ a: user(0, 1, MANY), b: user(1, 0, MANY), c: user(2, 0, MANY) }));
  });

  test("threads that may not sleep, or give up after one, change nothing when they give up", () => {
    expectCorrect("impatient", program({ a: user(0, 2, 0), b: user(1, 1, 1), c: user(2, 0, 1) }, "fire"));
  });

  test("tryLock never waits", () => {
    const attempt =
      (workerId: number): Thread =>
      (i32) => {
        if (!tryLock(i32, LOCK, workerId)) return 0;
        increment(i32);
        releaseLock(i32, LOCK, workerId);
        return 1;
      };
    expectCorrect("3 tries", program({ a: attempt(0), b: attempt(1), c: attempt(2) }));
  });
});

describe("a holder that dies", () => {
  const DEAD = 3;
  /** Word that says that the worker is known to be dead. */
  const EXIT = 2;

  /** Takes the lock, changes half, ends. */
  const victim: Thread = (i32) => {
    const got = acquireWithin(i32, LOCK, DEAD, 0, MANY);
    i32[DATA] = i32[DATA]! + 10;
    Atomics.store(i32, EXIT, 1);
    Atomics.notify(i32, EXIT);
    return got ? 0 : 1;
  };
  /** Waits for the exit event, takes the lock over, undoes the half. */
  const repairer: Thread = (i32) => {
    while (Atomics.load(i32, EXIT) === 0) Atomics.wait(i32, EXIT, 0);
    if (!repairLock(i32, LOCK, DEAD, 0)) return 1;
    i32[DATA] = i32[DATA]! - 10;
    releaseLock(i32, LOCK, 0);
    return 0;
  };
  const withExit = (threads: Readonly<Record<string, Thread>>): InterleaveProgram => ({
    ...program(threads),
    words: 3,
    names: { LOCK, DATA, EXIT },
  });

  test("the lock is taken over, with sleepers or without, and they go on", () => {
    expectCorrect("repair", withExit({ victim, repairer, bystander: user(1, 0, MANY) }));
  });

  test("a repair that finds the lock free, or held by the living, leaves it alone", () => {
    const late: Thread = (i32) => {
      if (repairLock(i32, LOCK, DEAD, 0)) throw new Error("took over a lock that the dead worker did not have");
      return 0;
    };
    expectCorrect("needless repair", program({ late, a: user(1, 0, MANY), b: user(2, 0, MANY) }));
  });

  test("seeded: repair by a plain store forgets the sleepers", () => {
    const store: Thread = (i32) => {
      while (Atomics.load(i32, EXIT) === 0) Atomics.wait(i32, EXIT, 0);
      i32[DATA] = i32[DATA]! - 10;
      if (lockHolder(i32, LOCK) === DEAD) Atomics.store(i32, LOCK, 0);
      return 0;
    };
    expectBug(withExit({ victim, store, bystander: user(1, 0, MANY) }), "sc", "deadlock");
  });
});

describe("bugs that the explorer finds", () => {
  const SLEEPERS = 0x100;

  test("taken by a load and a store", () => {
    const torn =
      (workerId: number): Thread =>
      (i32) => {
        if (Atomics.load(i32, LOCK) !== 0) return 0;
        Atomics.store(i32, LOCK, workerId + 1);
        increment(i32);
        Atomics.store(i32, LOCK, 0);
        return 1;
      };
    expectBug(program({ a: torn(0), b: torn(1) }), "sc", "race");
    expectBug({ ...program({ a: torn(0), b: torn(1) }), forbidRaces: false }, "sc", "check");
  });

  test("released by a plain store", () => {
    const plain =
      (workerId: number): Thread =>
      (i32) => {
        if (!tryLock(i32, LOCK, workerId)) return 0;
        increment(i32);
        i32[LOCK] = 0;
        return 1;
      };
    expectBug(program({ a: plain(0), b: plain(1) }), "sc", "race");
    expectBug({ ...program({ a: plain(0), b: plain(1) }), forbidRaces: false }, "weak", "check");
  });

  /** A sleeper out of the shipping steps, one of them wrong. */
  const sleeper =
    (workerId: number, wrong: "takes without the mark" | "wakes nobody"): Thread =>
    (i32) => {
      const mark = wrong === "takes without the mark" ? 0 : SLEEPERS;
      for (;;) {
        const word = Atomics.load(i32, LOCK);
        if (word === 0) {
          if (Atomics.compareExchange(i32, LOCK, 0, (workerId + 1) | mark) === 0) break;
        } else if (Atomics.compareExchange(i32, LOCK, word, word | SLEEPERS) === word) {
          Atomics.wait(i32, LOCK, word | SLEEPERS);
        }
      }
      increment(i32);
      if (wrong === "wakes nobody") Atomics.exchange(i32, LOCK, 0);
      else releaseLock(i32, LOCK, workerId);
      return 1;
    };

  test("a sleeper takes the lock without saying that others sleep (3 threads)", () => {
    const forget = (workerId: number): Thread => sleeper(workerId, "takes without the mark");
    expectBug(program({ a: forget(0), b: forget(1), c: forget(2) }), "sc", "deadlock");
  });

  test("nobody is woken", () => {
    expectBug(program({ a: sleeper(0, "wakes nobody"), b: sleeper(1, "wakes nobody") }), "sc", "deadlock");
  });
});

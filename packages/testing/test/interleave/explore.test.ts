import { describe, expect, test } from "vitest";
import {
  exploreInterleavings,
  formatFailure,
  formatReport,
  InterleaveError,
  type InterleaveProgram,
  replaySchedule,
  type ThreadBody,
  UnsupportedAccessError,
  verifyInterleavings,
} from "../../src/index.ts";
import { expectBug, pause } from "./expectations.ts";

const increment: ThreadBody<undefined> = (i32) => void i32[0]!++;
const lostUpdate: InterleaveProgram = {
  words: 1,
  names: { COUNTER: 0 },
  threads: { T0: increment, T1: increment },
  check: ({ i32 }) => {
    if (i32[0] !== 2) throw new Error("lost one");
  },
};

const one = (body: ThreadBody<undefined>): InterleaveProgram => ({ words: 2, threads: { T0: body } });

describe("the report", () => {
  test("counts schedules and states, and lists the outcomes", () => {
    const program: InterleaveProgram = {
      words: 1,
      threads: { T0: (i32) => Atomics.add(i32, 0, 1), T1: (i32) => Atomics.add(i32, 0, 1) },
    };
    const report = exploreInterleavings(program, { memory: "sc" });
    expect(report).toEqual({
      memory: "sc",
      complete: true,
      maxPreemptions: Infinity,
      schedules: 2,
      states: 5,
      outcomes: ['{"T0":0,"T1":1}', '{"T0":1,"T1":0}'],
      failure: null,
    });
    expect(formatReport(report)).toBe("sc: 2 schedules, 5 states, complete");
  });

  test("the number of schedules is that of the interleavings: (2n)! / n!^2", () => {
    const body: ThreadBody<undefined> = (i32) => {
      for (let k = 0; k < 6; k++) Atomics.store(i32, 0, 1);
    };
    const report = exploreInterleavings({ words: 1, threads: { T0: body, T1: body } }, { memory: "sc" });
    expect(report.schedules).toBe(924);
    const three = { words: 1, threads: { T0: body, T1: body, T2: body } };
    expect(exploreInterleavings(three, { memory: "tso" }).schedules).toBe(17_153_136);
  });

  test("an end reached early is not complete", () => {
    const report = exploreInterleavings({ ...lostUpdate, check: () => {} }, { memory: "sc", maxStates: 3 });
    expect(report).toMatchObject({ complete: false, failure: null, states: 3 });
    expect(formatReport(report)).toBe("sc: 0 schedules, 3 states, NOT complete");
    const tooFar = (): unknown => verifyInterleavings({ ...lostUpdate, check: () => {} }, { maxStates: 4 });
    expect(tooFar).toThrow("not explored to the end: sc");
  });

  test("preemptions can be bounded: none, and no update is lost; one, and it is", () => {
    const serial = exploreInterleavings(lostUpdate, { memory: "sc", maxPreemptions: 0 });
    expect(serial).toMatchObject({ complete: true, failure: null, schedules: 2 });
    expect(formatReport(serial)).toBe("sc: 2 schedules, 9 states, at most 0 preemptions, complete");
    expect(exploreInterleavings(lostUpdate, { memory: "sc", maxPreemptions: 1 }).failure?.kind).toBe("check");
  });
});

describe("a failure", () => {
  test("reads as a list of steps, and replays from its text", () => {
    const failure = expectBug(lostUpdate, "tso", "check");
    expect(formatFailure(failure)).toBe(`check: lost one
   1  T0  COUNTER is 0
   2  T0  COUNTER = 1, visible later
   3  T1  COUNTER is 0
   4  T1  COUNTER = 1, visible later
   5  T0      COUNTER = 1 becomes visible
   6  T1      COUNTER = 1 becomes visible
replay: tso maxSteps=500: T0 T0 T1 T1 T0!0 T1!0`);
  });

  test("is thrown by verifyInterleavings, races first", () => {
    const verify = (): unknown => verifyInterleavings({ ...lostUpdate, forbidRaces: true });
    expect(verify).toThrow(InterleaveError);
    expect(verify).toThrow("race: COUNTER: nothing orders");
  });

  test("a stale load replays too", () => {
    const program: InterleaveProgram = {
      words: 2,
      threads: {
        T0: (i32) => {
          i32[0] = 1;
          Atomics.store(i32, 1, 1);
        },
        T1: (i32) => {
          if (i32[1] === 1 && i32[0] === 0) throw new Error("flag without data");
        },
      },
    };
    const failure = expectBug(program, "weak", "assertion");
    expect(failure.trace.at(-1)).toBe("T1  word 0 is 0 (early; now 1)");
  });

  test("of an invariant", () => {
    const program = { ...lostUpdate, check: () => {}, invariant: (i32: Int32Array) => expect(i32[0]).toBeLessThan(2) };
    expectBug(program, "sc", "invariant");
  });

  test("of a loop that never ends", () => {
    const spin = one((i32) => {
      while (Atomics.load(i32, 0) === 0);
    });
    expectBug(spin, "weak", "livelock");
    const report = exploreInterleavings(spin, { maxSteps: 10 });
    expect(report.failure?.message).toBe("T0 did more than 10 operations");
    expect(replaySchedule(spin, report.failure?.schedule ?? "").failure).toEqual(report.failure);
  });

  test("an access outside of the words", () => {
    expect(
      expectBug(
        one((i32) => i32[2]),
        "weak",
        "assertion",
      ).message,
    ).toContain("word 2 of a shared memory of 2");
    expectBug(
      one((i32) => Atomics.load(i32, -1)),
      "weak",
      "assertion",
    );
    expectBug(
      one((i32) => (i32[0.5] = 1)),
      "weak",
      "assertion",
    );
    expectBug(
      one((i32) => i32[Number.NaN]),
      "weak",
      "assertion",
    );
  });
});

describe("replaySchedule", () => {
  test("runs a schedule that goes well", () => {
    expect(replaySchedule(lostUpdate, "sc maxSteps=500: T0 T0 T1 T1")).toEqual({
      failure: null,
      trace: ["T0  COUNTER is 0", "T0  COUNTER = 1", "T1  COUNTER is 1", "T1  COUNTER = 2"],
    });
  });

  test("refuses what is no schedule of the program", () => {
    expect(() => replaySchedule(lostUpdate, "T0 T1")).toThrow(TypeError);
    expect(() => replaySchedule(lostUpdate, "strong maxSteps=500: T0")).toThrow("not a schedule");
    expect(() => replaySchedule(lostUpdate, "sc maxSteps=500: T7")).toThrow('"T7" is no step');
    expect(() => replaySchedule(lostUpdate, "sc maxSteps=500: T0 T0!0")).toThrow("step 2 of the schedule, T0!0");
  });
});

describe("setup", () => {
  class Counter {
    readonly i32: Int32Array;
    own = 0;
    constructor(i32: Int32Array) {
      this.i32 = i32;
      if (i32[1] === 0) Atomics.store(i32, 1, 10);
    }
    add(): number {
      this.own++;
      Atomics.add(this.i32, 1, 1);
      return this.own;
    }
  }

  test("fills the words and gives each run of a thread objects of its own", () => {
    const program: InterleaveProgram<Counter> = {
      words: 2,
      setup: (i32) => new Counter(i32),
      threads: { T0: (_i32, counter) => [counter.add(), counter.add()], T1: (_i32, counter) => [counter.add()] },
      check: ({ i32 }) => expect(i32[1]).toBe(13),
    };
    const [report] = verifyInterleavings(program);
    expect(report?.outcomes).toEqual(['{"T0":[1,2],"T1":[1]}']);
    expect(report?.schedules).toBe(3);
  });

  test("cannot wait", () => {
    const waiting = { ...lostUpdate, setup: (i32: Int32Array) => void Atomics.wait(i32, 0, 0) };
    expect(() => exploreInterleavings(waiting)).toThrow(UnsupportedAccessError);
  });
});

describe("pauses", () => {
  const giveUp = (tries: number): InterleaveProgram => ({
    words: 2,
    threads: {
      T0: (i32) => {
        for (let k = 0; k < tries; k++) {
          if (Atomics.load(i32, 0) === 1) return "got it";
          pause();
        }
        return "gave up";
      },
      T1: (i32) => void Atomics.store(i32, 0, 1),
    },
  });

  test("that are fair always end with what was waited for, or with nothing left to wait for", () => {
    expect(exploreInterleavings(giveUp(3)).outcomes).toEqual(['{"T0":"got it"}']);
    expectBug(
      one(() => (pause(), pause())),
      "sc",
      "livelock",
    );
  });

  test("that are free let the code give up", () => {
    const { outcomes } = exploreInterleavings({ ...giveUp(3), pause: "free" });
    expect(outcomes).toEqual(['{"T0":"gave up"}', '{"T0":"got it"}']);
  });
});

describe("wait and notify", () => {
  test("wakes in the order of sleeping, no more than asked for", () => {
    const sleeper: ThreadBody<undefined> = (i32) => Atomics.wait(i32, 0, 0);
    const program: InterleaveProgram = {
      words: 1,
      threads: {
        A: sleeper,
        B: sleeper,
        C: (i32) => {
          const woken = [Atomics.notify(i32, 0, 1), Atomics.notify(i32, 0, 0)];
          Atomics.store(i32, 0, 1);
          woken.push(Atomics.notify(i32, 0));
          return woken;
        },
      },
    };
    const [report] = verifyInterleavings(program);
    expect(report?.outcomes).toEqual([
      '{"A":"not-equal","B":"not-equal","C":[0,0,0]}',
      '{"A":"not-equal","B":"ok","C":[0,0,1]}',
      '{"A":"not-equal","B":"ok","C":[1,0,0]}',
      '{"A":"ok","B":"not-equal","C":[0,0,1]}',
      '{"A":"ok","B":"not-equal","C":[1,0,0]}',
      '{"A":"ok","B":"ok","C":[0,0,2]}',
      '{"A":"ok","B":"ok","C":[1,0,1]}',
    ]);
    expect(replaySchedule(program, "sc maxSteps=500: B A C").trace).toEqual([
      "B  Atomics.wait word 0, 0: sleeps",
      "A  Atomics.wait word 0, 0: sleeps",
      "C  Atomics.notify word 0: wakes B",
    ]);
  });

  test("a wake-up orders what each of the two did before it", () => {
    const program: InterleaveProgram = {
      words: 3,
      forbidRaces: true,
      threads: {
        waiter: (i32) => {
          i32[2] = 8;
          return Atomics.wait(i32, 0, 0, 1) === "ok" ? i32[1] : 7;
        },
        waker: (i32) => {
          i32[1] = 7;
          return Atomics.notify(i32, 0) === 1 ? i32[2] : 8;
        },
      },
    };
    for (const report of verifyInterleavings(program)) expect(report.outcomes).toEqual(['{"waiter":7,"waker":8}']);
  });

  test("a wait may time out, and then goes on", () => {
    const program: InterleaveProgram = {
      words: 1,
      threads: {
        A: (i32) => [Atomics.wait(i32, 0, 0, 5), Atomics.wait(i32, 0, 0, 0)],
        B: (i32) => Atomics.notify(i32, 0),
      },
    };
    const report = exploreInterleavings(program);
    expect(report.outcomes).toEqual(['{"A":["ok","timed-out"],"B":1}', '{"A":["timed-out","timed-out"],"B":0}']);
    expect(replaySchedule(program, "sc maxSteps=500: A A~ A B").trace[1]).toBe("A  Atomics.wait word 0, 0: times out");
  });
});

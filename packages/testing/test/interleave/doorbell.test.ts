import { describe, expect, test } from "vitest";
import { formatFailure, type InterleaveProgram } from "../../src/index.ts";
import { expectBug, expectCorrect, failsIn } from "./expectations.ts";
import { Consumer, HEAD, Producer, RING_WORDS, SIZE, SLOTS, TAIL } from "./spsc-ring.ts";

const SLEEPING = RING_WORDS;

type Wake = (i32: Int32Array) => void;
type Sleep = (i32: Int32Array, hasWork: () => boolean) => void;

const wake: Wake = (i32) => {
  if (Atomics.load(i32, SLEEPING) === 0) return;
  Atomics.store(i32, SLEEPING, 0);
  Atomics.notify(i32, SLEEPING);
};

const sleep: Sleep = (i32, hasWork) => {
  Atomics.store(i32, SLEEPING, 1);
  if (!hasWork()) Atomics.wait(i32, SLEEPING, 1);
  Atomics.store(i32, SLEEPING, 0);
};

/** A ring whose consumer sleeps when it finds nothing, and whose producer wakes it only then. */
function sleepyRing(items: number, wakeUp: Wake, fallAsleep: Sleep): InterleaveProgram {
  return {
    words: RING_WORDS + 1,
    names: { HEAD, TAIL, SLOT: [SLOTS, SIZE], SLEEPING },
    forbidRaces: ["SLOT"],
    threads: {
      producer: (i32) => {
        const ring = new Producer(i32);
        for (let value = 1; value <= items; value++) {
          ring.produce(value);
          wakeUp(i32);
        }
      },
      consumer: (i32) => {
        const ring = new Consumer(i32);
        for (let expected = 1; expected <= items; expected++) {
          let value = ring.consume();
          for (; value === 0; value = ring.consume()) fallAsleep(i32, () => Atomics.load(i32, HEAD) >= expected);
          if (value !== expected) throw new Error(`expected ${expected}, got ${value}`);
        }
      },
    },
  };
}

describe("a consumer that sleeps", () => {
  test("is woken", () => {
    expectCorrect("sleep and wake, 1 entry", sleepyRing(1, wake, sleep));
    expectCorrect("sleep and wake, 2 entries", sleepyRing(2, wake, sleep));
  });

  test("bug: it does not look again before it sleeps", () => {
    const program = sleepyRing(1, wake, (i32) => {
      Atomics.store(i32, SLEEPING, 1);
      Atomics.wait(i32, SLEEPING, 1);
    });
    const failure = expectBug(program, "sc", "deadlock");
    expect(failure.message).toBe("consumer sleeps on SLEEPING, and nobody is left to change that");
    console.log(formatFailure(failure));
    expect(failsIn(program)).toBe("sc tso weak");
  });

  test("bug: the producer looks at the flag by a plain load", () => {
    const program = sleepyRing(
      1,
      (i32) => {
        if (i32[SLEEPING] !== 0) wake(i32);
      },
      sleep,
    );
    expectBug(program, "weak", "deadlock");
    expect(failsIn(program)).toBe("weak");
  });

  test("bug: it announces its sleep by a plain store", () => {
    const program = sleepyRing(1, wake, (i32, hasWork) => {
      i32[SLEEPING] = 1;
      if (!hasWork()) Atomics.wait(i32, SLEEPING, 1);
    });
    expect(failsIn(program)).toBe("tso weak");
  });

  test("a timeout hides a lost wake-up, and can be left out to find it", () => {
    const program = sleepyRing(1, wake, (i32) => {
      Atomics.store(i32, SLEEPING, 1);
      Atomics.wait(i32, SLEEPING, 1, 1000);
    });
    expectCorrect("lost wake-up behind a timeout", program);
    expectBug({ ...program, timeouts: "never" }, "weak", "deadlock");
  });
});

describe("a bell with one bit per worker (3 threads)", () => {
  const BELL = 0;
  const BOX = 1;
  const ring = (i32: Int32Array, worker: number): void => {
    if (Atomics.or(i32, BELL, 1 << worker) === 0) Atomics.notify(i32, BELL);
  };
  const owner = (i32: Int32Array): number => {
    let sum = 0;
    for (let got = 0; got < 2;) {
      const bits = Atomics.exchange(i32, BELL, 0);
      for (let worker = 0; worker < 2; worker++) {
        if ((bits & (1 << worker)) === 0 || i32[BOX + worker] === 0) continue;
        sum += i32[BOX + worker]!;
        got++;
      }
      if (bits === 0) Atomics.wait(i32, BELL, 0);
    }
    return sum;
  };
  const program = (deliver: (i32: Int32Array, worker: number) => void): InterleaveProgram => ({
    words: 3,
    names: { BELL, BOX: [BOX, 2] },
    forbidRaces: ["BOX"],
    threads: { owner, worker0: (i32) => deliver(i32, 0), worker1: (i32) => deliver(i32, 1) },
    check: ({ results }) => {
      if (results["owner"] !== 11) throw new Error(`got ${String(results["owner"])}`);
    },
  });

  test("is correct", () => {
    expectCorrect(
      "bell, 3 threads",
      program((i32, worker) => {
        i32[BOX + worker] = worker === 0 ? 1 : 10;
        ring(i32, worker);
      }),
    );
  });

  test("bug: rung before the delivery", () => {
    const early = program((i32, worker) => {
      ring(i32, worker);
      i32[BOX + worker] = worker === 0 ? 1 : 10;
    });
    expectBug(early, "sc", "race");
    expectBug({ ...early, forbidRaces: false }, "sc", "deadlock");
  });
});

import { describe, expect, test } from "vitest";
import { type InterleaveProgram, type ThreadBody } from "../../src/index.ts";
import { expectBug, expectCorrect, failsIn, pause } from "./expectations.ts";

type Load = (i32: Int32Array, at: number) => number;
type Store = (i32: Int32Array, at: number, value: number) => number;

const plainLoad: Load = (i32, at) => i32[at]!;
const plainStore: Store = (i32, at, value) => (i32[at] = value);
const atomicLoad: Load = (i32, at) => Atomics.load(i32, at);
const atomicStore: Store = (i32, at, value) => Atomics.store(i32, at, value);

const COUNTER = 0;
const LOCK = 1;
const WANTS = 1;
const TURN = 3;

/** Every thread increments a plain counter once, `enter` and `leave` around it. */
function increments(
  threads: number,
  enter: (i32: Int32Array, me: number) => void,
  leave: (i32: Int32Array, me: number) => void,
): InterleaveProgram {
  const body =
    (me: number): ThreadBody<undefined> =>
    (i32) => {
      enter(i32, me);
      i32[COUNTER]!++;
      leave(i32, me);
    };
  return {
    words: 4,
    names: { COUNTER, LOCK, TURN },
    forbidRaces: ["COUNTER"],
    threads: Object.fromEntries(Array.from({ length: threads }, (_, me) => [`T${me}`, body(me)])),
    check: ({ i32 }) => {
      if (i32[COUNTER] !== threads) throw new Error(`counted ${i32[COUNTER]} of ${threads}`);
    },
  };
}

describe("lost update", () => {
  const nothing = (): void => {};
  test("plain increments lose one, under every model", () => {
    const program = { ...increments(2, nothing, nothing), forbidRaces: false };
    const failure = expectBug(program, "sc", "check");
    expect(failure.message).toBe("counted 1 of 2");
    expect(failure.trace).toEqual(["T0  COUNTER is 0", "T1  COUNTER is 0", "T0  COUNTER = 1", "T1  COUNTER = 1"]);
    expect(failure.schedule).toBe("sc maxSteps=500: T0 T1 T0 T1");
    expect(failsIn(program)).toBe("sc tso weak");
  });

  test("and are a data race", () => {
    expectBug(increments(2, nothing, nothing), "sc", "race");
  });

  test("atomic increments lose none", () => {
    const add: ThreadBody<undefined> = (i32) => Atomics.add(i32, COUNTER, 1);
    expectCorrect("three atomic increments", {
      words: 1,
      forbidRaces: true,
      threads: { T0: add, T1: add, T2: add },
      check: ({ i32 }) => {
        if (i32[COUNTER] !== 3) throw new Error("lost one");
      },
    });
  });
});

describe("Peterson's lock", () => {
  const peterson = (load: Load, store: Store): InterleaveProgram =>
    increments(
      2,
      (i32, me) => {
        const other = 1 - me;
        store(i32, WANTS + me, 1);
        store(i32, TURN, other);
        while (load(i32, WANTS + other) === 1 && load(i32, TURN) === other) pause();
      },
      (i32, me) => void store(i32, WANTS + me, 0),
    );

  test("is correct with Atomics", () => {
    expectCorrect("Peterson's lock", peterson(atomicLoad, atomicStore));
  });

  test("is wrong with plain accesses, except where every access takes effect at once", () => {
    const plain = peterson(plainLoad, plainStore);
    expectBug(plain, "sc", "race");
    expect(failsIn({ ...plain, forbidRaces: false })).toBe("tso weak");
    expectBug(plain, "tso", "check");
  });

  test("is wrong with atomic stores and plain loads", () => {
    const mixed = peterson(plainLoad, atomicStore);
    expect(failsIn({ ...mixed, forbidRaces: false })).toBe("weak");
  });
});

test("Dekker's first attempt: with plain flags both get in, with Atomics one does", () => {
  const dekker = (load: Load, store: Store): InterleaveProgram => {
    const body =
      (me: number): ThreadBody<undefined> =>
      (i32) => {
        store(i32, WANTS + me, 1);
        return load(i32, WANTS + 1 - me) === 0;
      };
    return {
      words: 4,
      threads: { T0: body(0), T1: body(1) },
      check: ({ results }) => {
        if (results["T0"] === true && results["T1"] === true) throw new Error("both are in");
      },
    };
  };
  expectBug(dekker(plainLoad, plainStore), "tso", "check");
  expectCorrect("Dekker, first attempt", dekker(atomicLoad, atomicStore));
});

describe("spin lock that holds its owner's id", () => {
  const lock = (i32: Int32Array, me: number): void => {
    while (Atomics.compareExchange(i32, LOCK, 0, me + 1) !== 0) pause();
  };
  const unlock = (i32: Int32Array, me: number): void => {
    if (Atomics.compareExchange(i32, LOCK, me + 1, 0) !== me + 1) throw new Error("unlocked by another thread");
  };

  test("is correct with two threads, and with three", () => {
    expectCorrect("spin lock, 2 threads", increments(2, lock, unlock));
    expectCorrect("spin lock, 3 threads", increments(3, lock, unlock));
  });

  test("is correct released by an atomic store", () => {
    expectCorrect(
      "spin lock, store",
      increments(2, lock, (i32) => void Atomics.store(i32, LOCK, 0)),
    );
  });

  test("is correct taken by an exchange, which writes also when it fails", () => {
    const take = (i32: Int32Array): void => {
      while (Atomics.exchange(i32, LOCK, 1) !== 0) pause();
    };
    expectCorrect(
      "test-and-set lock, 3 threads",
      increments(3, take, (i32) => void Atomics.store(i32, LOCK, 0)),
    );
  });

  test("bug: released by a plain store", () => {
    const program = increments(2, lock, (i32) => void (i32[LOCK] = 0));
    expectBug(program, "sc", "race");
    expectBug(program, "weak", "check");
  });

  test("bug: tests, then sets", () => {
    const program = increments(
      2,
      (i32, me) => {
        while (Atomics.load(i32, LOCK) !== 0) pause();
        Atomics.store(i32, LOCK, me + 1);
      },
      unlock,
    );
    expectBug(program, "sc", "assertion");
    expect(failsIn(program)).toBe("sc tso weak");
  });

  test("bug: never released", () => {
    const failure = expectBug(
      increments(2, lock, () => {}),
      "weak",
      "livelock",
    );
    expect(failure.message).toBe("T1 spins, and nobody is left to change that");
  });

  test("bug: two locks taken in opposite order", () => {
    const other = 2;
    const acquire = (i32: Int32Array, at: number): void => {
      while (Atomics.compareExchange(i32, at, 0, 1) !== 0) pause();
    };
    const body =
      (first: number, second: number): ThreadBody<undefined> =>
      (i32) => {
        acquire(i32, first);
        acquire(i32, second);
        Atomics.store(i32, second, 0);
        Atomics.store(i32, first, 0);
      };
    expectBug({ words: 4, threads: { T0: body(LOCK, other), T1: body(other, LOCK) } }, "weak", "livelock");
    expectCorrect("two locks in one order", { words: 4, threads: { T0: body(LOCK, other), T1: body(LOCK, other) } });
  });
});

test("only the write that a thread reads orders what came before it: a race behind an overwritten release", () => {
  const DATA = 0;
  const FLAG = 1;
  const program: InterleaveProgram = {
    words: 2,
    names: { DATA, FLAG },
    forbidRaces: ["DATA"],
    threads: {
      writer: (i32) => {
        i32[DATA] = 1;
        Atomics.store(i32, FLAG, 1);
      },
      forwarder: (i32) => {
        if (i32[FLAG] === 1) Atomics.store(i32, FLAG, 2);
      },
      reader: (i32) => {
        if (Atomics.load(i32, FLAG) === 2) return i32[DATA];
        return 0;
      },
    },
  };
  expectBug(program, "sc", "race");
  const acquiring = {
    ...program.threads,
    forwarder: (i32: Int32Array) => {
      if (Atomics.load(i32, FLAG) === 1) Atomics.store(i32, FLAG, 2);
    },
  };
  expectCorrect("a release handed on", { ...program, threads: acquiring });
});

describe("sequence lock", () => {
  const DATA = 1;
  const reader: ThreadBody<undefined> = (i32) => {
    const before = Atomics.load(i32, 0);
    const seen = [i32[DATA], i32[DATA + 1]];
    const isTorn = seen[0] !== seen[1];
    if ((before & 1) === 0 && Atomics.load(i32, 0) === before && isTorn) throw new Error(`torn: ${seen.join()}`);
  };
  const program = (writer: ThreadBody<undefined>): InterleaveProgram => ({
    words: 3,
    names: { SEQUENCE: 0, DATA: [DATA, 2] },
    threads: { writer, reader },
  });

  test("around plain data is wrong, though only a weak model shows it", () => {
    const plain = program((i32) => {
      Atomics.add(i32, 0, 1);
      i32[DATA] = 7;
      i32[DATA + 1] = 7;
      Atomics.add(i32, 0, 1);
    });
    expect(failsIn(plain)).toBe("weak");
    expectBug({ ...plain, forbidRaces: ["DATA"] }, "sc", "race");
  });
});

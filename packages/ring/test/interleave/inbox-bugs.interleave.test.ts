import { describe, expect, test } from "vitest";
import { claimWake, DOORBELL, pushOverflow, ringDoorbell, SLEEPING } from "../../src/inbox-words.ts";
import { publishTail } from "../../src/spsc-ring-words.ts";
import { expectBug, expectCorrect, failsIn, plainLoad, plainStore, withAtomics } from "./expectations.ts";
import {
  type Body,
  type Delivery,
  type Idle,
  INBOX,
  inboxProgram,
  LINK,
  OVERFLOW0,
  put,
  putAndWake,
  refOf,
  sleep,
  sleepOnDoorbell,
  SLOTS0,
  TAIL0,
  takeAll,
  wake,
  wakeDoorbell,
} from "./inbox-program.ts";

const twoWorkers: Delivery = { ringSize: 1, batches: [[[1]], [[2]]] };
const single: Delivery = { ringSize: 1, batches: [[[1]]] };

describe("bugs that the explorer finds around the doorbell", () => {
  const slowly: Delivery = { ringSize: 2, batches: [[[1], [2]]] };

  /** A worker of one-entry rings out of the shipping steps, in an order of its own. */
  const steps =
    (step: (i32: Int32Array, tail: number, idx: number) => void) =>
    (_worker: number, batches: readonly (readonly number[])[]): Body =>
    (i32) =>
      batches.flat().forEach((idx, sent) => step(i32, sent + 1, idx));

  test("it is rung before the entry is published", () => {
    const early = inboxProgram(
      slowly,
      takeAll(2),
      steps((i32, tail, idx) => {
        ringDoorbell(i32, INBOX, 1);
        i32[SLOTS0 + ((tail - 1) & 1)] = refOf(idx);
        publishTail(i32, TAIL0, tail);
      }),
    );
    const { message } = expectBug(early, "sc", "livelock");
    expect(message).toBe("owner spins, and nobody is left to change that");
    expect(failsIn(early)).toBe("sc tso weak");
  });

  test("the worker reads it by a plain load", () => {
    const plain = inboxProgram(slowly, takeAll(2), (worker, batches) => (i32, context) => {
      withAtomics(plainLoad(INBOX + DOORBELL), () => put(worker, batches)(i32, context));
    });
    expectBug(plain, "sc", "race");
    expectBug({ ...plain, forbidRaces: false }, "weak", "livelock");
    expect(failsIn(plain)).toBe("weak");
  });

  test("the tail is published by a plain store before it is rung", () => {
    const plain = inboxProgram(slowly, takeAll(2), (worker, batches) => (i32, context) => {
      withAtomics(plainStore(TAIL0), () => put(worker, batches)(i32, context));
    });
    expectBug(plain, "sc", "race");
    expect(failsIn(plain)).toBe("tso weak");
  });

  test("the bit is set by a load and a store (3 threads)", () => {
    const torn = inboxProgram(twoWorkers, takeAll(2), (worker, batches) => (i32, context) => {
      withAtomics(
        (atomics) => ({
          or: ((i32: Int32Array, at: number, bit: number) =>
            atomics.store(i32, at, atomics.load(i32, at) | bit)) as typeof Atomics.or,
        }),
        () => put(worker, batches)(i32, context),
      );
    });
    expectBug(torn, "sc", "livelock");
    expect(failsIn(torn)).toBe("sc tso weak");
  });

  test("the owner clears it after it has looked", () => {
    const late = inboxProgram(slowly, (i32, context) => {
      const at = INBOX + DOORBELL;
      let rung = 0;
      const clearLate = (): unknown =>
        withAtomics(
          (atomics) => ({
            exchange: ((i32: Int32Array, word: number, value: number) =>
              word === at
                ? (rung = atomics.load(i32, at))
                : atomics.exchange(i32, word, value)) as typeof Atomics.exchange,
            // The look at the overflow list is the last one at a ring.
            load: ((i32: Int32Array, word: number) => {
              const value = atomics.load(i32, word);
              if (word === OVERFLOW0 && rung !== 0) atomics.store(i32, at, (rung = 0));
              return value;
            }) as typeof Atomics.load,
          }),
          () => takeAll(2)(i32, context),
        );
      return clearLate();
    });
    expectBug(late, "sc", "livelock");
    expect(failsIn(late)).toBe("sc tso weak");
  });
});

describe("bugs that the explorer finds in the overflow list", () => {
  const lists: Delivery = {
    ringSize: 1,
    batches: [
      [
        [1, 2],
        [3, 4],
      ],
    ],
  };
  type ListPush = (i32: Int32Array, listAt: number, linkAt: number, ref: number) => void;

  /** One entry in the ring, then two on the list, pushed in another way, and rung. */
  const pushing = (push: ListPush): ReturnType<typeof inboxProgram> =>
    inboxProgram({ ringSize: 1, batches: [[[1], [2], [3]]] }, takeAll(3), (_worker, batches) => (i32) => {
      i32[SLOTS0] = refOf(batches[0]![0]!);
      publishTail(i32, TAIL0, 1);
      for (const [idx] of batches.slice(1)) {
        push(i32, OVERFLOW0, LINK, refOf(idx!));
        ringDoorbell(i32, INBOX, 1);
      }
    });

  test("the same way as it ships: none", () => {
    expectCorrect("overflow list alone", pushing(pushOverflow));
  });

  test("without the compareExchange", () => {
    const stored = pushing((i32, listAt, linkAt, ref) => {
      i32[linkAt + (ref >> 1)] = Atomics.load(i32, listAt);
      Atomics.store(i32, listAt, ref);
    });
    expectBug(stored, "sc", "check");
    expect(failsIn(stored)).toBe("sc tso weak");
  });

  test("the link is written after the push", () => {
    const late = pushing((i32, listAt, linkAt, ref) => {
      const newest = Atomics.exchange(i32, listAt, ref);
      i32[linkAt + (ref >> 1)] = newest;
    });
    expectBug(late, "sc", "race");
    expect(failsIn(late)).toBe("sc tso weak");
  });

  test("pushed by a plain store", () => {
    const plain = pushing((i32, listAt, linkAt, ref) => {
      const newest = Atomics.exchange(i32, listAt, 0);
      i32[linkAt + (ref >> 1)] = newest;
      i32[listAt] = ref;
    });
    expectBug(plain, "sc", "race");
    expectBug({ ...plain, forbidRaces: false }, "weak", "livelock");
  });

  test("the owner takes it by a load and a store", () => {
    const torn = inboxProgram(lists, (i32, context) =>
      withAtomics(
        (atomics) => ({
          exchange: ((i32: Int32Array, at: number, value: number) => {
            if (at !== OVERFLOW0) return atomics.exchange(i32, at, value);
            const old = atomics.load(i32, at);
            atomics.store(i32, at, value);
            return old;
          }) as typeof Atomics.exchange,
        }),
        () => takeAll(4)(i32, context),
      ),
    );
    expectBug(torn, "sc", "livelock");
  });
});

describe("bugs that the explorer finds around sleep", () => {
  const twice: Delivery = { ringSize: 1, batches: [[[1], [2]]] };

  test("the owner waits on the doorbell: a worker that is late uses up its wake-up", () => {
    const program = inboxProgram(twice, takeAll(2, 2, sleepOnDoorbell), putAndWake(wakeDoorbell));
    const { message } = expectBug(program, "sc", "deadlock");
    expect(message).toBe("owner sleeps on DOORBELL, and nobody is left to change that");
    expect(failsIn(program)).toBe("sc tso weak");
  });

  test("the owner does not look again before it sleeps", () => {
    const hasty: Idle = (i32, owner) => {
      Atomics.store(i32, INBOX + SLEEPING, 1);
      Atomics.wait(i32, owner.sleepingAt, 1);
    };
    const program = inboxProgram(single, takeAll(1, 2, hasty), putAndWake(wake));
    expectBug(program, "sc", "deadlock");
    expect(failsIn(program)).toBe("sc tso weak");
  });

  test("it looks again before it announces its sleep", () => {
    const swapped: Idle = (i32, owner) => {
      if (owner.hasWork()) return;
      Atomics.store(i32, INBOX + SLEEPING, 1);
      Atomics.wait(i32, owner.sleepingAt, 1);
    };
    expectBug(inboxProgram(single, takeAll(1, 2, swapped), putAndWake(wake)), "sc", "deadlock");
  });

  test("it announces its sleep by a plain store", () => {
    const program = inboxProgram(
      single,
      takeAll(1, 2, (i32, owner) => withAtomics(plainStore(INBOX + SLEEPING), () => sleep(i32, owner))),
      putAndWake(wake),
    );
    expectBug(program, "sc", "race");
    expect(failsIn(program)).toBe("tso weak");
  });

  test("the worker looks whether it sleeps before it rings", () => {
    const early = inboxProgram(single, takeAll(1, 2, sleep), () => (i32, { workers }) => {
      i32[SLOTS0] = refOf(1);
      publishTail(i32, TAIL0, 1);
      const mustWake = claimWake(i32, INBOX);
      ringDoorbell(i32, INBOX, 1);
      if (mustWake) workers[0]!.wake();
    });
    expectBug(early, "sc", "deadlock");
  });

  test("the worker looks by a plain load", () => {
    const program = inboxProgram(single, takeAll(1, 2, sleep), (worker, batches) => (i32, context) => {
      withAtomics(plainLoad(INBOX + SLEEPING), () => putAndWake(wake)(worker, batches)(i32, context));
    });
    expectBug(program, "sc", "race");
  });

  test("the worker notifies without taking the announcement back", () => {
    const program = inboxProgram(single, takeAll(1, 2, sleep), (worker, batches) => (i32, context) => {
      withAtomics(
        (atomics) => ({
          exchange: ((i32: Int32Array, at: number, _value: number) => atomics.load(i32, at)) as typeof Atomics.exchange,
        }),
        () => putAndWake(wake)(worker, batches)(i32, context),
      );
    });
    expectBug(program, "sc", "deadlock");
    expect(failsIn(program)).toBe("sc tso weak");
  });
});

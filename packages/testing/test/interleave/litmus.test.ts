import { describe, expect, test } from "vitest";
import { exploreInterleavings, type InterleaveProgram, type MemoryModel } from "../../src/index.ts";

const X = 0;
const Y = 1;
const MODELS: readonly MemoryModel[] = ["sc", "tso", "weak"];

type Body = (i32: Int32Array) => unknown;

const load = (i32: Int32Array, at: number): number => i32[at]!;
const atomicLoad = (i32: Int32Array, at: number): number => Atomics.load(i32, at);
const store = (i32: Int32Array, at: number, value: number): void => void (i32[at] = value);
const atomicStore = (i32: Int32Array, at: number, value: number): void => void Atomics.store(i32, at, value);

/** What the threads return, joined, for every end of the program. */
function outcomes(bodies: readonly Body[], memory: MemoryModel, end: "results" | "words" = "results"): string[] {
  const program: InterleaveProgram = {
    words: 2,
    names: { X, Y },
    threads: Object.fromEntries(bodies.map((body, k) => [`T${k}`, body])),
    outcome: ({ results, i32 }) => {
      if (end === "words") return i32.join(" ");
      return Object.values(results)
        .flat()
        .filter((value) => value !== undefined)
        .map(String)
        .join(" ");
    },
  };
  const report = exploreInterleavings(program, { memory });
  expect(report.failure).toBeNull();
  expect(report.complete).toBe(true);
  return [...report.outcomes];
}

/** The models under which an end can be reached. */
function allowedIn(bodies: readonly Body[], outcome: string, end: "results" | "words" = "results"): string {
  return MODELS.filter((memory) => outcomes(bodies, memory, end).includes(outcome)).join(" ");
}

describe("store buffering: x = 1, r = y | y = 1, r = x; both read 0", () => {
  const test2 = (put: typeof store, get: typeof load): string =>
    allowedIn([(i32) => (put(i32, X, 1), get(i32, Y)), (i32) => (put(i32, Y, 1), get(i32, X))], "0 0");
  test("plain", () => expect(test2(store, load)).toBe("tso weak"));
  test("plain stores, atomic loads", () => expect(test2(store, atomicLoad)).toBe("tso weak"));
  test("atomic stores, plain loads", () => expect(test2(atomicStore, load)).toBe("weak"));
  test("atomic", () => expect(test2(atomicStore, atomicLoad)).toBe(""));
  test("all of the other outcomes", () => {
    const bodies: Body[] = [(i32) => (store(i32, X, 1), load(i32, Y)), (i32) => (store(i32, Y, 1), load(i32, X))];
    expect(outcomes(bodies, "sc")).toEqual(["0 1", "1 0", "1 1"]);
    expect(outcomes(bodies, "tso")).toEqual(["0 0", "0 1", "1 0", "1 1"]);
  });
});

describe("message passing: x = 1, y = 1 | r1 = y, r2 = x; the flag is seen and the data is not", () => {
  const test2 = (put: typeof store, get: typeof load): string =>
    allowedIn([(i32) => (store(i32, X, 1), put(i32, Y, 1)), (i32) => [get(i32, Y), load(i32, X)]], "1 0");
  test("plain", () => expect(test2(store, load)).toBe("weak"));
  test("released, plainly read", () => expect(test2(atomicStore, load)).toBe("weak"));
  test("plainly written, acquired", () => expect(test2(store, atomicLoad)).toBe("weak"));
  test("released and acquired", () => expect(test2(atomicStore, atomicLoad)).toBe(""));
  test("released by a read-modify-write", () => {
    expect(test2((i32, at, value) => void Atomics.add(i32, at, value), atomicLoad)).toBe("");
  });
});

describe("load buffering: r = x, y = 1 | r = y, x = 1; both read 1", () => {
  const program: InterleaveProgram = {
    words: 2,
    names: { X, Y },
    threads: {
      T0: (i32) => [load(i32, X), store(i32, Y, 1)],
      T1: (i32) => [load(i32, Y), store(i32, X, 1)],
    },
  };
  test("is not modelled: a store never overtakes an earlier load", () => {
    const bodies = Object.values(program.threads).map(
      (body): Body =>
        (i32) =>
          [body(i32, undefined)].flat()[0],
    );
    expect(allowedIn(bodies, "1 1")).toBe("");
  });
  test("but it is a data race, and found as that", () => {
    const report = exploreInterleavings({ ...program, forbidRaces: true }, { memory: "sc" });
    expect(report.failure?.kind).toBe("race");
    expect(report.failure?.message).toBe("Y: nothing orders the plain write of T0 and the plain read of T1");
  });
});

describe("independent reads of independent writes: the readers disagree on the order", () => {
  const test4 = (put: typeof store, get: typeof load): string =>
    allowedIn(
      [
        (i32) => put(i32, X, 1),
        (i32) => put(i32, Y, 1),
        (i32) => [get(i32, X), get(i32, Y)],
        (i32) => [get(i32, Y), get(i32, X)],
      ],
      "1 0 1 0",
    );
  test("plain", () => expect(test4(store, load)).toBe("weak"));
  test("atomic", () => expect(test4(atomicStore, atomicLoad)).toBe(""));
});

describe("one word", () => {
  test("CoRR: two loads do not see its values in the wrong order", () => {
    expect(allowedIn([(i32) => store(i32, X, 1), (i32) => [load(i32, X), load(i32, X)]], "1 0")).toBe("");
    const twice: Body = (i32) => (store(i32, X, 1), store(i32, X, 2));
    const thrice: Body = (i32) => [load(i32, X), load(i32, X), load(i32, X)];
    expect(outcomes([twice, thrice], "weak")).toEqual([
      "0 0 0",
      "0 0 1",
      "0 0 2",
      "0 1 1",
      "0 1 2",
      "0 2 2",
      "1 1 1",
      "1 1 2",
      "1 2 2",
      "2 2 2",
    ]);
  });
  test("CoWR: a thread reads its own store, or a newer one", () => {
    const bodies: Body[] = [(i32) => (store(i32, X, 1), load(i32, X)), (i32) => store(i32, X, 2)];
    for (const memory of MODELS) expect(outcomes(bodies, memory)).toEqual(["1", "2"]);
  });
  test("CoWR: also when an older value was still to be had by loads that come early", () => {
    const bodies: Body[] = [(i32) => (load(i32, Y), store(i32, X, 1), load(i32, X)), (i32) => store(i32, X, 2)];
    for (const memory of MODELS) expect(outcomes(bodies, memory)).toEqual(["1", "2"]);
  });
  test("CoWW: stores of one thread stay in order", () => {
    expect(outcomes([(i32) => (store(i32, X, 1), store(i32, X, 2))], "weak", "words")).toEqual(["2 0"]);
  });
});

test("2+2W: x = 1, y = 2 | y = 1, x = 2; the first stores win", () => {
  const test2 = (put: typeof store): string =>
    allowedIn([(i32) => (put(i32, X, 1), put(i32, Y, 2)), (i32) => (put(i32, Y, 1), put(i32, X, 2))], "1 1", "words");
  expect(test2(store)).toBe("weak");
  expect(test2(atomicStore)).toBe("");
});

describe("an atomic access holds back only one direction (weak)", () => {
  test("a plain store overtakes an atomic store before it", () => {
    const bodies: Body[] = [
      (i32) => (atomicStore(i32, X, 1), store(i32, Y, 1)),
      (i32) => [atomicLoad(i32, Y), atomicLoad(i32, X)],
    ];
    expect(allowedIn(bodies, "1 0")).toBe("weak");
  });
  test("and the write of a read-modify-write before it", () => {
    const bodies: Body[] = [
      (i32) => (Atomics.add(i32, X, 1), store(i32, Y, 1)),
      (i32) => [atomicLoad(i32, Y), atomicLoad(i32, X)],
    ];
    expect(allowedIn(bodies, "1 0")).toBe("weak");
  });
  test("a plain load before an atomic load is satisfied after it", () => {
    const bodies: Body[] = [
      (i32) => (atomicStore(i32, X, 1), atomicStore(i32, Y, 1)),
      (i32) => [load(i32, Y), atomicLoad(i32, X)],
    ];
    expect(allowedIn(bodies, "1 0")).toBe("weak");
  });
  test("but not after a read-modify-write, which reads the present", () => {
    const bodies: Body[] = [
      (i32) => (atomicStore(i32, X, 1), atomicStore(i32, Y, 1)),
      (i32) => [load(i32, Y), Atomics.add(i32, X, 0)],
    ];
    expect(allowedIn(bodies, "1 0")).toBe("");
  });
  test("a compareExchange that fails lets no store out", () => {
    const bodies: Body[] = [
      (i32) => (store(i32, X, 1), Atomics.compareExchange(i32, Y, 9, 9)),
      (i32) => (atomicStore(i32, Y, 1), atomicLoad(i32, X)),
    ];
    expect(allowedIn(bodies, "0 0")).toBe("weak");
  });
  test("a read-modify-write stays atomic while its write is delayed", () => {
    const increment: Body = (i32) => (Atomics.add(i32, X, 1), load(i32, Y));
    for (const memory of MODELS) expect(outcomes([increment, increment, increment], memory, "words")).toEqual(["3 0"]);
  });
});

test("WRC: what a thread has acquired, it passes on", () => {
  const bodies: Body[] = [
    (i32) => atomicStore(i32, X, 1),
    (i32) => atomicLoad(i32, X) === 1 && atomicStore(i32, Y, 1),
    (i32) => [atomicLoad(i32, Y), load(i32, X)],
  ];
  for (const memory of MODELS) {
    const ends = outcomes(bodies, memory);
    expect(ends.filter((end) => end.endsWith("1 0"))).toEqual([]);
    expect(ends.some((end) => end.endsWith("1 1"))).toBe(true);
  }
});

describe("wait and notify order what comes before them and after", () => {
  test("message passing, the flag read by wait", () => {
    const bodies: Body[] = [
      (i32) => (store(i32, X, 1), atomicStore(i32, Y, 1)),
      (i32) => (load(i32, Y), Atomics.wait(i32, Y, 0, 0) === "not-equal" && load(i32, X) === 0 ? "stale" : "fine"),
    ];
    expect(allowedIn(bodies, "stale")).toBe("");
  });
  test("who wakes a thread sees what it did before it slept", () => {
    const bodies: Body[] = [
      (i32) => (store(i32, X, 1), Atomics.wait(i32, Y, 0, 1) === "ok" ? "woken" : "late"),
      (i32) => (load(i32, Y), Atomics.notify(i32, Y) === 1 && load(i32, X) === 0 ? "stale" : "fine"),
    ];
    expect(outcomes(bodies, "weak")).toEqual(["late fine", "woken fine"]);
    expect(outcomes(bodies, "tso")).toEqual(["late fine", "woken fine"]);
  });
  test("who is woken sees what the other did before", () => {
    const bodies: Body[] = [
      (i32) => (store(i32, X, 1), Atomics.notify(i32, Y)),
      (i32) => (load(i32, X), Atomics.wait(i32, Y, 0, 1) === "ok" && load(i32, X) === 0 ? "stale" : "fine"),
    ];
    for (const memory of MODELS) expect(outcomes(bodies, memory)).toEqual(["0 fine", "1 fine"]);
  });
});

describe("read-modify-write operations", () => {
  test("answer and write what Atomics does", () => {
    const body: Body = (i32) => [
      Atomics.add(i32, X, 2 ** 31 - 1),
      Atomics.add(i32, X, 1),
      Atomics.sub(i32, X, 1),
      Atomics.and(i32, X, 0xff),
      Atomics.or(i32, X, 0x100),
      Atomics.xor(i32, X, 0x1),
      Atomics.exchange(i32, X, 2 ** 32 + 5),
      Atomics.compareExchange(i32, X, 4, 9),
      Atomics.compareExchange(i32, X, 5, 7),
      Atomics.store(i32, Y, 3),
      Atomics.load(i32, X),
      Atomics.notify(i32, X),
      Atomics.wait(i32, X, 0),
      Atomics.wait(i32, X, 7, 0),
    ];
    const real = new Int32Array(new SharedArrayBuffer(8));
    const expected = body(real) as unknown[];
    for (const memory of MODELS) {
      const report = exploreInterleavings({ words: 2, threads: { T0: body } }, { memory });
      expect(report.outcomes).toEqual([JSON.stringify({ T0: expected })]);
    }
  });
});

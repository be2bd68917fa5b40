import { Inbox, INBOX_WORDS, InboxProducer } from "@netmem/ring";
import {
  exploreInterleavings,
  formatReport,
  type InterleaveProgram,
  type MemoryModel,
  type ThreadBody,
  verifyInterleavings,
} from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { sleepUntilWork, wakeWorker } from "../../src/index.ts";

/*
 *  0        WAKE     where the worker sleeps
 *  1 2 3    SOURCE   counts, one for each of those that show the worker something
 *  4 5      LINK     link words of the inbox
 *  8...     the worker's inbox, without rings: what is returned goes over its overflow list
 */
const WAKE = 0;
const SOURCE = 1;
const LINK = 3;
const INBOX = 8;
const DOORBELL = INBOX;
const SLEEPING = INBOX + 1;
/** Of the only buffer that is returned: index 1. */
const REF = 2;
const heap = {
  allocWords: (): never => {
    throw new Error("no rings");
  },
  freeWords: (): void => {},
};

type Thread = ThreadBody<undefined>;
type Sleep = (i32: Int32Array, inbox: Inbox, hasWork: () => boolean) => void;
type Wake = (i32: Int32Array) => void;

const sleepWell: Sleep = (i32, inbox, hasWork) => sleepUntilWork(i32, inbox, hasWork, Infinity);
const wakeWell: Wake = (i32) => wakeWorker(i32, WAKE);

/** Shows one thing after the other, and wakes the worker for each. */
const source =
  (n: number, count: number, wake: Wake = wakeWell): Thread =>
  (i32) => {
    for (let shown = 1; shown <= count; shown++) {
      Atomics.store(i32, SOURCE + n, shown);
      wake(i32);
    }
  };

/** Another thread returns a buffer to the worker. */
const returner: Thread = (i32) => {
  const producer = new InboxProducer({ i32, heap }, INBOX, 0, LINK);
  producer.push(REF);
  if (producer.publish()) producer.wake();
};

/** Sleeps until it saw everything. */
const worker =
  (counts: readonly number[], returned: number, sleep: Sleep = sleepWell, start: Wake = announce): Thread =>
  (i32) => {
    const inbox = new Inbox(i32, INBOX, LINK);
    const refs = new Int32Array(1);
    let home = inbox.take(refs, 0, 1);
    start(i32);
    const seen = counts.map(() => 0);
    const hasWork = (): boolean => counts.some((_, n) => Atomics.load(i32, SOURCE + n) !== seen[n]);
    const isDone = (): boolean => home === returned && counts.every((count, n) => seen[n] === count);
    while (!isDone()) {
      for (const n of counts.keys()) seen[n] = Atomics.load(i32, SOURCE + n);
      home += inbox.take(refs, 0, 1);
      if (!isDone()) sleep(i32, inbox, hasWork);
    }
  };

/** Says where it sleeps, as the first thing that others need of it. */
function announce(i32: Int32Array): void {
  Atomics.store(i32, WAKE, SLEEPING);
}

function program(threads: Readonly<Record<string, Thread>>): InterleaveProgram {
  return {
    words: INBOX + INBOX_WORDS,
    names: { WAKE, SOURCE: [SOURCE, 2], LINK: [LINK, 3], DOORBELL, SLEEPING },
    threads,
    forbidRaces: true,
    timeouts: "never",
  };
}

function expectCorrect(name: string, subject: InterleaveProgram): void {
  const reports = verifyInterleavings(subject);
  console.log(`${name}: ${reports.map(formatReport).join("; ")}`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
}

/** Kind of the failure that is found under a memory model; races are allowed for that. */
function failureOf(subject: InterleaveProgram, memory: MemoryModel): string | undefined {
  return exploreInterleavings({ ...subject, forbidRaces: false }, { memory }).failure?.kind;
}

describe("a worker that sleeps is woken, in every order of accesses", () => {
  test("by its hardware, twice, from its first look on", () => {
    expectCorrect("hardware", program({ worker: worker([2], 0), hardware: source(0, 2) }));
  });

  test("by its hardware and by another worker (3 threads)", () => {
    expectCorrect("two sources", program({ worker: worker([1, 1], 0), hardware: source(0, 1), peer: source(1, 1) }));
  });

  test("by its hardware and by a buffer that comes home (3 threads)", () => {
    expectCorrect("and inbox", program({ worker: worker([1], 1), hardware: source(0, 1), returner }));
  });
});

describe("bugs that the explorer finds", () => {
  test("the worker looks first and says then that it sleeps", () => {
    const hasty: Sleep = (i32, inbox, hasWork) => {
      if (hasWork() || !inbox.prepareSleep()) return;
      Atomics.wait(i32, inbox.sleepingAt, 1);
      inbox.cancelSleep();
    };
    expect(failureOf(program({ worker: worker([1], 0, hasty), hardware: source(0, 1) }), "sc")).toBe("deadlock");
  });

  test("the waker looks first and shows then", () => {
    const early: Thread = (i32) => {
      wakeWorker(i32, WAKE);
      Atomics.store(i32, SOURCE, 1);
    };
    expect(failureOf(program({ worker: worker([1], 0), hardware: early }), "sc")).toBe("deadlock");
  });

  test("the waker notifies and leaves the word as it is", () => {
    const weak: Wake = (i32) => {
      const at = Atomics.load(i32, WAKE);
      if (at !== 0 && Atomics.load(i32, at) !== 0) Atomics.notify(i32, at);
    };
    expect(failureOf(program({ worker: worker([1], 0), hardware: source(0, 1, weak) }), "sc")).toBe("deadlock");
  });

  test("what is shown is shown by a plain store", () => {
    const plain: Thread = (i32) => {
      i32[SOURCE] = 1;
      wakeWorker(i32, WAKE);
    };
    const subject = program({ worker: worker([1], 0), hardware: plain });
    expect(failureOf(subject, "sc")).toBeUndefined();
    expect(failureOf(subject, "tso")).toBe("deadlock");
    expect(exploreInterleavings(subject, { memory: "sc" }).failure?.kind).toBe("race");
  });

  test("a worker says where it sleeps after its last look", () => {
    const late: Sleep = (i32, inbox, hasWork) => {
      if (!inbox.prepareSleep()) return;
      if (!hasWork()) {
        announce(i32);
        Atomics.wait(i32, inbox.sleepingAt, 1);
      }
      inbox.cancelSleep();
    };
    const subject = program({ worker: worker([1], 0, late, () => {}), hardware: source(0, 1) });
    expect(failureOf(subject, "sc")).toBe("deadlock");
  });
});

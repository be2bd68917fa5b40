import { makeRef } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  freeInbox,
  Inbox,
  INBOX_WORDS,
  InboxProducer,
  type InboxProducerParams,
  type RingMemory,
} from "../src/index.ts";
import { DOORBELL, REST, RINGS, SLEEPING } from "../src/inbox-words.ts";
import { createRingMemory, type TestMemory } from "./ring-memory.ts";

const NEAR_WRAP = 0xfffffff0 | 0;
const INDICES = 1024;
const refOf = (idx: number): number => makeRef(idx, 7, 0);

interface Subject {
  readonly memory: TestMemory;
  readonly at: number;
  readonly linkAt: number;
  readonly inbox: Inbox;
  readonly workers: readonly InboxProducer[];
}

interface SubjectParams extends InboxProducerParams {
  readonly workers?: number;
}

function subjectOf(params: SubjectParams = {}): Subject {
  const memory = createRingMemory(256);
  const at = memory.heap.allocWords(INBOX_WORDS);
  const linkAt = memory.heap.allocWords(INDICES);
  const { workers = 2, ...options } = params;
  const ring = { ringSize: 4, startCount: NEAR_WRAP, ...options };
  const inbox = new Inbox(memory.i32, at, linkAt);
  const producers = Array.from({ length: workers }, (_, n) => new InboxProducer(memory, at, n, linkAt, ring));
  return { memory, at, linkAt, inbox, workers: producers };
}

/** Everything there is, as "worker:idx", `max` at a time. */
function takeAll(inbox: Inbox, max = 64): string[] {
  const got: string[] = [];
  const refs = new Int32Array(max);
  for (let n = inbox.take(refs, 0, max); n > 0; n = inbox.take(refs, 0, max)) {
    for (let k = 0; k < n; k++) got.push(`${inbox.from}:${(refs[k]! >>> 1) & 0xfffff}`);
  }
  return got;
}

function putAll(worker: InboxProducer, ...indices: number[]): boolean {
  const refs = Int32Array.from(indices, refOf);
  return worker.putBatch(refs, 0, refs.length);
}

test("what is published arrives with the worker that it came from; what is pushed only, does not", () => {
  const { inbox, workers } = subjectOf();
  expect(takeAll(inbox)).toEqual([]);
  workers[1]!.push(refOf(9));
  expect(putAll(workers[0]!, 1, 2, 3)).toBe(false);
  expect(takeAll(inbox)).toEqual(["0:1", "0:2", "0:3"]);
  workers[1]!.publish();
  expect(takeAll(inbox)).toEqual(["1:9"]);
});

test("what finds the ring full comes by the list: the ring's entries first, then the newest first", () => {
  const { inbox, workers } = subjectOf({ ringSize: 2 });
  putAll(workers[0]!, 1, 2, 3, 4);
  putAll(workers[0]!, 5, 6);
  expect(workers[0]!.overflowCount).toBe(4);
  expect(takeAll(inbox)).toEqual(["0:1", "0:2", "0:6", "0:5", "0:4", "0:3"]);
  expect(inbox.overflowCount).toBe(4);
  putAll(workers[0]!, 7);
  expect([takeAll(inbox), workers[0]!.overflowCount]).toEqual([["0:7"], 4]);
});

test("a ring that gets room in the middle of a batch is used again", () => {
  const { inbox, workers } = subjectOf({ ringSize: 1 });
  putAll(workers[0]!, 1);
  workers[0]!.push(refOf(2));
  expect(takeAll(inbox)).toEqual(["0:1", "0:2"]);
  workers[0]!.push(refOf(3));
  expect(putAll(workers[0]!, 4)).toBe(false);
  expect(takeAll(inbox)).toEqual(["0:3", "0:4"]);
});

test("a worker without memory for a ring puts everything on the list", () => {
  const { memory, at, linkAt, inbox } = subjectOf();
  const full: RingMemory = { i32: memory.i32, heap: { allocWords: () => failMemory(), freeWords: () => {} } };
  const worker = new InboxProducer(full, at, 9, linkAt);
  putAll(worker, 1, 2, 3);
  expect([takeAll(inbox), worker.overflowCount]).toEqual([["9:3", "9:2", "9:1"], 3]);
  expect(memory.i32[at + RINGS + 9]).toBe(0);
});

function failMemory(): never {
  throw new Error("out of pages");
}

test("the same reference twice on one list: the walk ends", () => {
  const { inbox, workers } = subjectOf({ ringSize: 1 });
  putAll(workers[0]!, 1);
  putAll(workers[0]!, 5);
  putAll(workers[0]!, 6, 5);
  const refs = new Int32Array(64);
  expect([inbox.take(refs, 0, 64), inbox.take(refs, 0, 64), inbox.take(refs, 0, 64)]).toEqual([1, 3, 0]);
});

test("a caller may see what finds the ring full, and claim it first", () => {
  const { inbox, workers } = subjectOf({ ringSize: 1 });
  const worker = workers[0]!;
  expect(worker.pushToRing(refOf(1))).toBe(true);
  for (const idx of [2, 3]) {
    expect(worker.pushToRing(refOf(idx))).toBe(false);
    worker.pushToList(refOf(idx));
  }
  worker.publish();
  expect(takeAll(inbox)).toEqual(["0:1", "0:3", "0:2"]);
  expect(worker.pushToRing(refOf(4))).toBe(true);
});

test("nothing is published: no bit is set, nobody is woken", () => {
  const { memory, at, inbox, workers } = subjectOf();
  takeAll(inbox);
  expect(inbox.prepareSleep()).toBe(true);
  expect([workers[0]!.publish(), putAll(workers[1]!)]).toEqual([false, false]);
  expect(memory.i32[at + DOORBELL]).toBe(0);
});

test("one worker is told to wake an owner that sleeps, and only one", () => {
  const { memory, at, inbox, workers } = subjectOf();
  expect(inbox.prepareSleep()).toBe(false);
  takeAll(inbox);
  expect([inbox.hasWork(), inbox.prepareSleep()]).toEqual([false, true]);
  expect(inbox.sleepingAt).toBe(at + SLEEPING);
  expect([putAll(workers[0]!, 1), putAll(workers[1]!, 2), putAll(workers[0]!, 3)]).toEqual([true, false, false]);
  workers[0]!.wake();
  inbox.cancelSleep();
  expect([inbox.hasWork(), inbox.prepareSleep(), memory.i32[at + SLEEPING]]).toEqual([true, false, 0]);
  expect(takeAll(inbox)).toHaveLength(3);
});

test("a worker that always has more does not keep the others away", () => {
  const { inbox, workers } = subjectOf({ workers: 32 });
  takeAll(inbox);
  const froms: number[] = [];
  const refs = new Int32Array(2);
  let next = 1;
  for (const worker of [0, 1, 31]) putAll(workers[worker]!, next++, next++);
  for (let turn = 0; turn < 5; turn++) {
    inbox.take(refs, 0, 2);
    froms.push(inbox.from);
    putAll(workers[0]!, next++, next++);
  }
  expect(froms).toEqual([1, 31, 0, 0, 0]);
  putAll(workers[30]!, next++);
  inbox.take(refs, 0, 2);
  expect(inbox.from).toBe(30);
});

test("another owner goes on where the last one stopped, in the middle of a list too", () => {
  const { memory, at, linkAt, inbox, workers } = subjectOf({ ringSize: 2 });
  putAll(workers[1]!, 1, 2, 3, 4, 5);
  const refs = new Int32Array(3);
  expect(inbox.take(refs, 0, 2) + inbox.take(refs, 0, 2)).toBe(4);
  expect(memory.i32[at + REST]).toBe(refOf(3));
  putAll(workers[0]!, 6);
  expect(takeAll(new Inbox(memory.i32, at, linkAt))).toEqual(["1:3", "0:6"]);
  expect(memory.i32[at + REST]).toBe(0);
});

test("a list that was taken and not begun is kept for the next owner", () => {
  const { memory, at, linkAt, inbox, workers } = subjectOf({ ringSize: 1 });
  putAll(workers[0]!, 1, 2, 3);
  expect(inbox.take(new Int32Array(8), 0, 8)).toBe(1);
  expect(takeAll(new Inbox(memory.i32, at, linkAt))).toEqual(["0:3", "0:2"]);
});

test("checkAll finds what a worker published and did not ring for", () => {
  const { memory, at, inbox, workers } = subjectOf();
  takeAll(inbox);
  putAll(workers[1]!, 4);
  Atomics.store(memory.i32, at + DOORBELL, 0);
  expect(takeAll(inbox)).toEqual([]);
  inbox.checkAll();
  expect(takeAll(inbox)).toEqual(["1:4"]);
});

test("the same reference put twice by two workers: the walk ends, and nothing comes that was not put", () => {
  const { inbox, workers } = subjectOf({ ringSize: 1 });
  putAll(workers[0]!, 1, 5, 6, 7);
  putAll(workers[1]!, 2, 6, 5, 8);
  const got = takeAll(inbox);
  expect(got.length).toBeLessThanOrEqual(8);
  expect(got.slice(0, 2)).toEqual(["1:2", "1:8"]);
  expect(got).toContain("0:1");
  expect(inbox.hasWork()).toBe(false);
});

test("takes no more than there is room for", () => {
  const { inbox, workers } = subjectOf({ ringSize: 2 });
  putAll(workers[0]!, 1, 2, 3);
  const refs = new Int32Array(2);
  expect([inbox.take(refs, 2, 5), inbox.take(refs, 0, 0), inbox.take(refs, 1, 5)]).toEqual([0, 0, 1]);
  expect(takeAll(inbox)).toEqual(["0:2", "0:3"]);
});

test("parameters are checked, memory goes back once", () => {
  const memory = createRingMemory(256);
  const at = memory.heap.allocWords(INBOX_WORDS);
  const bad = { code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL" };
  for (const [worker, params] of [
    [-1, {}],
    [32, {}],
    [0, { ringSize: 3 }],
    [0, { ringSize: 0 }],
  ] as const) {
    expect(() => new InboxProducer(memory, at, worker, 0, params)).toThrow(expect.objectContaining(bad));
  }
  const used = memory.pages.outCount;
  const all = Array.from({ length: 32 }, (_, worker) => new InboxProducer(memory, at, worker, 0));
  expect(all.map(({ worker }) => worker)).toEqual(Array.from({ length: 32 }, (_, n) => n));
  expect(memory.pages.outCount).toBe(used + 32);
  expect(takeAll(new Inbox(memory.i32, at, 0))).toEqual([]);
  freeInbox(memory, at);
  freeInbox(memory, at);
  expect(memory.pages.outCount).toBe(used);
});

const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("push" as const), worker: fc.nat(4), n: fc.nat(6) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("publish" as const), worker: fc.nat(4), n: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("putBatch" as const), worker: fc.nat(4), n: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("take" as const), worker: fc.constant(0), n: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("newOwner" as const), worker: fc.constant(0), n: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("newWorker" as const), worker: fc.nat(4), n: fc.nat(3) }) },
);

test("every reference comes out once, from its worker, whoever takes over in between", () => {
  let ran = 0;
  let overflowed = 0;
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 4), fc.array(command, { maxLength: 80, size: "max" }), (ringSize, commands) => {
      const { memory, at, linkAt, inbox, workers } = subjectOf({ ringSize, workers: 5 });
      const producers = [...workers];
      let owner = inbox;
      let next = 1;
      const hidden = producers.map((): number[] => []);
      const inside = new Set<string>();
      const take = (max: number): number => {
        const refs = new Int32Array(max);
        const taken = owner.take(refs, 0, max);
        for (const ref of refs.subarray(0, taken)) {
          const entry = `${owner.from}:${ref}`;
          if (inside.delete(entry)) continue;
          // What went on the list may be found before it is published.
          const early = hidden[owner.from]!.indexOf(ref);
          expect(early).toBeGreaterThanOrEqual(0);
          hidden[owner.from]!.splice(early, 1);
        }
        return taken;
      };
      for (const { kind, worker, n } of commands) {
        const refs = Int32Array.from({ length: n }, (_, k) => refOf(next + k));
        const mine = hidden[worker]!;
        if (kind === "push") {
          refs.forEach((ref) => producers[worker]!.push(ref));
          mine.push(...refs);
          next += n;
        } else if (kind === "take") expect(take(n) > 0 || n === 0 || inside.size === 0).toBe(true);
        else if (kind === "newOwner") owner = new Inbox(memory.i32, at, linkAt);
        else {
          if (kind === "putBatch") {
            mine.push(...refs);
            next += n;
            producers[worker]!.putBatch(refs, 0, n);
          } else producers[worker]!.publish();
          for (const ref of mine.splice(0)) inside.add(`${worker}:${ref}`);
          overflowed += producers[worker]!.overflowCount;
          if (kind === "newWorker") producers[worker] = new InboxProducer(memory, at, worker, linkAt);
        }
      }
      while (take(3) > 0);
      expect([...inside]).toEqual([]);
      ran += commands.length;
    }),
    { seed: 20260302, numRuns: 400 },
  );
  expect(ran).toBeGreaterThan(10_000);
  expect(overflowed).toBeGreaterThan(1000);
});

import { describe, expect, test } from "vitest";
import { formatFailure, type InterleaveProgram } from "../../src/index.ts";
import { expectBug, expectCorrect, failsIn } from "./expectations.ts";

/** Word 0: the node on top, 1..3, and above it a count of changes where the stack is tagged. Word n: the node below n. */
const TOP = 0;
const NODES = 3;
const TAG = 8;
const NODE_MASK: number = TAG - 1;

function push(i32: Int32Array, node: number, tag: number): void {
  for (;;) {
    const top = Atomics.load(i32, TOP);
    i32[node] = top & NODE_MASK;
    if (Atomics.compareExchange(i32, TOP, top, ((top & ~NODE_MASK) + tag) | node) === top) return;
  }
}

function pop(i32: Int32Array, tag: number): number {
  for (;;) {
    const top = Atomics.load(i32, TOP);
    const node = top & NODE_MASK;
    if (node === 0) return 0;
    if (Atomics.compareExchange(i32, TOP, top, ((top & ~NODE_MASK) + tag) | i32[node]!) === top) return node;
  }
}

function rest(i32: Int32Array): number[] {
  const nodes: number[] = [];
  for (let node = i32[TOP]! & NODE_MASK; node !== 0; node = i32[node]!) nodes.push(node);
  return nodes;
}

/** Three nodes; one thread takes one, the other takes two and puts the first back. */
function takeAndPutBack(tag: number): InterleaveProgram {
  return {
    words: 1 + NODES,
    names: { TOP, BELOW: [1, NODES] },
    setup: (i32) => {
      for (const node of [3, 2, 1]) push(i32, node, 0);
    },
    threads: {
      taker: (i32) => [pop(i32, tag)],
      juggler: (i32) => {
        const first = pop(i32, tag);
        const second = pop(i32, tag);
        if (first !== 0) push(i32, first, tag);
        return [second];
      },
    },
    check: ({ i32, results }) => {
      const held = Object.values(results)
        .flat()
        .filter((node) => node !== 0);
      const all = [...held, ...rest(i32)].map(String).sort();
      if (all.join() !== "1,2,3") throw new Error(`held ${held.join()}, on the stack ${rest(i32).join()}`);
    },
  };
}

describe("Treiber stack", () => {
  test("bug: a node that came back is taken for one that never left (ABA)", () => {
    const failure = expectBug(takeAndPutBack(0), "sc", "check");
    console.log(formatFailure(failure));
    expect(failsIn(takeAndPutBack(0))).toBe("sc tso weak");
  });

  test("is correct with a tag", () => {
    expectCorrect("tagged Treiber stack", takeAndPutBack(TAG));
  });

  const drain = (pushNode: (i32: Int32Array, node: number) => void): InterleaveProgram => {
    const takeAll = (i32: Int32Array): number[] => {
      const nodes: number[] = [];
      for (let node = Atomics.exchange(i32, TOP, 0); node !== 0; node = i32[node]!) nodes.push(node);
      return nodes;
    };
    return {
      words: 1 + NODES,
      names: { TOP, BELOW: [1, NODES] },
      forbidRaces: ["BELOW"],
      threads: {
        worker1: (i32) => pushNode(i32, 1),
        worker2: (i32) => {
          pushNode(i32, 2);
          pushNode(i32, 3);
        },
        owner: (i32) => [...takeAll(i32), ...takeAll(i32)],
      },
      check: ({ i32, results }) => {
        const all = [results["owner"], rest(i32)].flat().map(String).sort();
        if (all.join() !== "1,2,3") throw new Error(`there are ${all.join()}`);
      },
    };
  };

  test("pushed by two threads and drained in one exchange needs no tag (3 threads)", () => {
    expectCorrect(
      "overflow list",
      drain((i32, node) => push(i32, node, 0)),
    );
  });

  test("bug: the link is written after the push", () => {
    const late = drain((i32, node) => {
      const top = Atomics.exchange(i32, TOP, node);
      i32[node] = top;
    });
    expectBug(late, "sc", "race");
    expect(failsIn({ ...late, forbidRaces: false })).toBe("sc tso weak");
  });
});

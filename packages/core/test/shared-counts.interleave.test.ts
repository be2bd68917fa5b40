import {
  exploreInterleavings,
  formatReport,
  type InterleaveProgram,
  type ThreadBody,
  verifyInterleavings,
} from "@netmem/testing";
import { expect, test } from "vitest";
import { type Host, makeRef, type NetmemRef, refNetmem, unrefNetmem } from "../src/index.ts";
import { META_OUT, META_SHARED } from "../src/meta.ts";

/*
 * Holders of one buffer on several threads let go. Word IDX is its descriptor's meta word, COUNT its holders - 1, and
 * every thread writes a byte of the buffer before it lets go; who lets go last reads them all.
 */
const IDX = 1;
const COUNT = 2;
const BYTES = 3;
const REF: NetmemRef = makeRef(IDX, 0, 0);

/** What the counting code looks at. */
function hostOver(i32: Int32Array, threaded: 0 | 1): Host {
  return { i32, ppRefAt: COUNT - IDX, threaded } as unknown as Host;
}

type Holder = ThreadBody<undefined>;

const letGo =
  (who: number, holders: number, threaded: 0 | 1 = 1): Holder =>
  (i32) => {
    i32[BYTES + who] = 1;
    const left = unrefNetmem(hostOver(i32, threaded), REF, 1);
    if (left !== 0) return left;
    for (let n = 0; n < holders; n++) if (i32[BYTES + n] !== 1) throw new Error(`holder ${n} has not finished`);
    return 0;
  };

function program(threads: Readonly<Record<string, Holder>>, holders: number): InterleaveProgram {
  return {
    words: 8,
    names: { META: IDX, COUNT, BYTES: [BYTES, 5] },
    setup: (i32): undefined => {
      i32[IDX] = META_OUT | META_SHARED;
      i32[COUNT] = holders - 1;
    },
    threads,
    check: ({ i32, results }) => {
      const last = Object.values(results).filter((left) => left === 0).length;
      if (last !== 1) throw new Error(`${last} threads were the last holder`);
      if (i32[COUNT] !== 0) throw new Error(`the count is left at ${i32[COUNT]}`);
    },
  };
}

function expectCorrect(name: string, subject: InterleaveProgram): void {
  const reports = verifyInterleavings(subject);
  console.log(`${name}: ${reports.map(formatReport).join("; ")}`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
}

test("two holders: one is the last, and sees what the other did", () => {
  const subject = program({ a: letGo(0, 2), b: letGo(1, 2) }, 2);
  expectCorrect("unref, 2 holders", { ...subject, forbidRaces: ["BYTES"] });
});

test("three holders (3 threads)", () => {
  expectCorrect("unref, 3 holders", program({ a: letGo(0, 3), b: letGo(1, 3), c: letGo(2, 3) }, 3));
});

test("one takes another reference while one lets go", () => {
  const refTwice: Holder = (i32) => {
    const host = hostOver(i32, 1);
    refNetmem(host, REF);
    i32[BYTES] = 1;
    return [unrefNetmem(host, REF, 1), unrefNetmem(host, REF, 1)].includes(0) ? 0 : 1;
  };
  expectCorrect("ref and unref", program({ a: refTwice, b: letGo(1, 0) }, 2));
});

test("without atomics both think that the other one is the last, or both that they are", () => {
  const torn = program({ a: letGo(0, 2, 0), b: letGo(1, 2, 0) }, 2);
  const { failure } = exploreInterleavings(torn, { memory: "sc" });
  expect(failure?.kind).toBe("check");
  expect(failure?.message).toMatch(/0 threads were the last holder|the count is left/);
});

test("a plain look at the count may miss what the other holder did", () => {
  const plain: Holder = (i32) => {
    i32[BYTES + 1] = 1;
    if (i32[COUNT] === 0) return i32[BYTES] === 1 ? 0 : "too early";
    return Atomics.add(i32, COUNT, -1) === 0 ? 0 : 1;
  };
  const subject = program({ a: letGo(0, 2), b: plain }, 2);
  expect(exploreInterleavings({ ...subject, forbidRaces: ["BYTES"] }, { memory: "sc" }).failure?.kind).toBe("race");
});

import { isNetmemError } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { findByteExports } from "./byte-exports.ts";
import { HEAD_ONLY, NO_BYTES, OTHER_BYTES, REFUSES, THROWS, UnreadableStand } from "./probes.ts";

const listed = [...Object.keys(THROWS), ...Object.keys(REFUSES), ...HEAD_ONLY, ...NO_BYTES, ...OTHER_BYTES];

test("every export that can reach bytes has said what it does with memory that the CPU cannot read", () => {
  const found = findByteExports();
  const forgotten = found.filter(({ name }) => !listed.includes(name));
  // Add it to tests/unreadable/probes.ts: with a probe if it reads or writes bytes, else in the list that fits.
  expect(forgotten).toEqual([]);
  expect(new Set(listed).size).toBe(listed.length);
  // The search itself finds what is there.
  expect(found.length).toBeGreaterThan(80);
  for (const name of ["core Host.offsetOf", "skb copyBits", "skb SkbView.fragData", "skb SkbSeq.next"]) {
    expect(found.map((entry) => entry.name)).toContain(name);
  }
});

describe("refused with EFAULT", () => {
  test.each(Object.entries(THROWS))("%s", (_, probe) => {
    const stand = new UnreadableStand();
    const { len, nrFrags } = stand.view();
    let thrown: unknown = null;
    try {
      probe(stand);
    } catch (error) {
      thrown = error;
    }
    expect(isNetmemError(thrown)).toBe(true);
    expect(thrown).toMatchObject({ code: "ERR_NETMEM_UNREADABLE", errno: "EFAULT" });
    expect([stand.view().len, stand.view().nrFrags]).toEqual([len, nrFrags]);
  });
});

describe("answered with no", () => {
  test.each(Object.entries(REFUSES))("%s", (_, probe) => {
    expect(Boolean(probe(new UnreadableStand()))).toBe(false);
  });
});

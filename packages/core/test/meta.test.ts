import { expect, test } from "vitest";
import {
  META_FREE,
  META_GEN_MASK,
  META_OUT,
  META_POOLED,
  META_QUARANTINED,
  META_SHARED,
  META_STATE_MASK,
  metaOwner,
  metaState,
  metaStateName,
  NetmemState,
  ownerTag,
} from "../src/index.ts";

test("the fields of the meta word do not touch each other", () => {
  const owners = 0xffff << 13;
  expect(META_GEN_MASK | META_STATE_MASK | META_SHARED | owners).toBe(2 ** 29 - 1);
  expect(META_GEN_MASK & META_STATE_MASK).toBe(0);
  expect((META_GEN_MASK | META_STATE_MASK) & META_SHARED).toBe(0);
  expect(META_SHARED & owners).toBe(0);
});

test("owner and state come out as they went in, whatever the rest", () => {
  for (const owner of [0, 1, 2, 1023, 65535]) {
    for (const state of Object.values(NetmemState)) {
      const meta = ownerTag(owner, state) | META_SHARED | 0x155;
      expect([metaOwner(meta), metaState(meta), meta & META_GEN_MASK]).toEqual([owner, state, 0x155]);
      expect(meta).toBeGreaterThanOrEqual(0);
    }
  }
});

test("a zeroed word is a free buffer of nobody", () => {
  expect([metaOwner(0), metaState(0), META_FREE]).toEqual([0, NetmemState.Free, 0]);
});

test("states have names", () => {
  const names = Object.values(NetmemState).map((state) => metaStateName(ownerTag(7, state)));
  expect(names).toEqual(["free", "pooled", "out", "quarantined", "posted", "returning"]);
  expect([META_POOLED, META_OUT, META_QUARANTINED].map((meta) => metaStateName(meta))).toEqual([
    "pooled",
    "out",
    "quarantined",
  ]);
  expect(metaStateName(7 << 9)).toBe("invalid");
});

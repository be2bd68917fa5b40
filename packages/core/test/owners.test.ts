import { expect, test } from "vitest";
import {
  MemType,
  OWN_COUNT,
  OWN_LIMIT,
  OWN_STACK,
  OWN_THREAD,
  OWN_TYPE,
  OWNER_NONE,
  OWNER_ORDER0,
  OWNER_STACK_SIZE,
  OWNER_WORDS,
} from "../src/index.ts";
import { createCoreHost, expectRefused, FakeOwner } from "./core-host.ts";

test("a record is ten cache lines, apart from its neighbours, and holds the whole stack", () => {
  const { host } = createCoreHost();
  const a = new FakeOwner(host, MemType.PagePool, 1);
  const b = new FakeOwner(host, MemType.PagePool, 1);
  expect([b.id, b.at - a.at]).toEqual([a.id + 1, OWNER_WORDS]);
  expect(a.at % 16).toBe(0);
  expect(OWN_STACK + OWNER_STACK_SIZE).toBe(OWNER_WORDS);
});

test("a claimed record starts clean, with no room for returns", () => {
  const { host } = createCoreHost();
  const first = new FakeOwner(host, MemType.PagePool, 1);
  host.i32.fill(-1, first.at, first.at + OWNER_WORDS);
  host.owners.release(first.id);
  expect([host.i32[first.at + OWN_COUNT], host.i32[first.at + OWN_LIMIT]]).toEqual([0, 0]);
  const rest = Array.from({ length: 60 }, () => new FakeOwner(host, MemType.XskBuffPool, 0));
  const again = host.owners.claim({ memType: 3, name: "again", returnSlow: () => {} });
  expect(again).toBe(first.id);
  const record = host.i32.subarray(first.at, first.at + OWNER_WORDS);
  expect([record[OWN_TYPE], record[OWN_THREAD]]).toEqual([3, 1]);
  const nameWords = 3;
  expect(record.filter((word) => word !== 0).length).toBe(2 + nameWords);
  expect(new Set(rest.map(({ id }) => id)).size).toBe(60);
});

test("ids are cyclic: a freed one rests as long as possible", () => {
  const { host } = createCoreHost({ maxOwners: 8 });
  const owners = Array.from({ length: 3 }, () => new FakeOwner(host, 2, 0));
  expect(owners.map(({ id }) => id)).toEqual([3, 4, 5]);
  host.owners.release(3);
  expect([new FakeOwner(host, 2, 0).id, new FakeOwner(host, 2, 0).id, new FakeOwner(host, 2, 0).id]).toEqual([6, 7, 3]);
});

test("exhausted: coded, and one released makes room", () => {
  const { host } = createCoreHost({ maxOwners: 8 });
  const owners = Array.from({ length: 5 }, () => new FakeOwner(host, 2, 0));
  const claim = (): number => host.owners.claim({ memType: 2, name: "one more", returnSlow: () => {} });
  const error = expectRefused(host, "ERR_NETMEM_OWNERS_EXHAUSTED", claim);
  expect(error).toMatchObject({ errno: "ENOSPC", param: "maxOwners", value: 8 });
  host.owners.release(owners[2]!.id);
  expect(claim()).toBe(owners[2]!.id);
});

test("the fixed ids are claimed once", () => {
  const { host, pages } = createCoreHost();
  const error = expectRefused(host, "ERR_NETMEM_OWNER_TAKEN", () => host.owners.claimId(OWNER_ORDER0, pages));
  expect(error).toMatchObject({ errno: "EBUSY", param: "id", value: OWNER_ORDER0 });
  expectRefused(host, "ERR_NETMEM_OWNER_TAKEN", () => host.owners.claimId(9999, pages));
});

test("owners are found, typed and named", () => {
  const { host, pages } = createCoreHost();
  const owner = new FakeOwner(host, MemType.Devmem, 0);
  expect(host.owners.get(owner.id)).toBe(owner);
  expect(host.owners.typeOf(owner.id)).toBe(MemType.Devmem);
  expect([host.owners.get(OWNER_ORDER0), host.owners.get(OWNER_NONE), host.owners.get(99_999)]).toEqual([
    pages,
    null,
    null,
  ]);
  expect(host.owners.describe(owner.id)).toBe(owner.name);
  expect(host.owners.describe(OWNER_NONE)).toBe("the page allocator or a provider");
  host.owners.release(owner.id);
  expect(host.owners.describe(owner.id)).toBe(`owner ${owner.id}`);
});

test("plain owners are the page allocator's two, not nobody", () => {
  const { host } = createCoreHost();
  expect([0, 1, 2, 3].map((id) => host.isPlainOwner(id))).toEqual([false, true, true, false]);
});

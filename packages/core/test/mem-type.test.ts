import { expect, test } from "vitest";
import { type MemModel, MemType, MemTypeRegistry } from "../src/index.ts";
import { createCoreHost, errorOf } from "./core-host.ts";

function model(type: number, name: string): MemModel {
  return { type, name, drain: () => {} };
}

test("the kernel's four numbers, and devmem", () => {
  expect(MemType).toEqual({ PageShared: 0, PageOrder0: 1, PagePool: 2, XskBuffPool: 3, Devmem: 4 });
  const types = new MemTypeRegistry();
  expect([0, 1, 2, 3, 4].map((type) => types.nameOf(type))).toEqual([
    "page_shared",
    "page_order0",
    "page_pool",
    "xsk_buff_pool",
    "devmem",
  ]);
  expect(types.count).toBe(5);
});

test("a type without a model is known but not supported", () => {
  const types = new MemTypeRegistry();
  for (const type of [0, 4, 5, -1, 1.5]) expect(types.isSupported(type)).toBe(false);
  const own = model(MemType.PagePool, "page_pool");
  types.install(own);
  expect([types.isSupported(MemType.PagePool), types.modelOf(MemType.PagePool)]).toEqual([true, own]);
  expect(types.modelOf(MemType.Devmem)).toBe(null);
});

test("types of one's own get numbers from 5 on, one for each name", () => {
  const types = new MemTypeRegistry();
  expect([types.numberOf("nvme"), types.numberOf("cxl"), types.numberOf("nvme")]).toEqual([5, 6, 5]);
  expect(types.numberOf("page_pool")).toBe(MemType.PagePool);
  expect([types.nameOf(6), types.nameOf(7), types.count]).toEqual(["cxl", "type 7", 7]);
  types.install(model(5, "nvme"));
  expect(types.isSupported(5)).toBe(true);
});

test("one model for each type", () => {
  const types = new MemTypeRegistry();
  const own = model(MemType.PageOrder0, "page_order0");
  types.install(own);
  types.install(own);
  const error = errorOf(() => types.install(model(MemType.PageOrder0, "page_order0")));
  expect(error).toMatchObject({ code: "ERR_NETMEM_TYPE_CONFLICT", errno: "EEXIST", param: "model.type", value: 1 });
  expect(types.modelOf(MemType.PageOrder0)).toBe(own);
});

test("number and name must belong together", () => {
  const types = new MemTypeRegistry();
  for (const wrong of [model(2, "page_order0"), model(5, "nvme"), model(-1, "nvme"), model(2, "Page_Pool")]) {
    expect(errorOf(() => types.install(wrong))).toMatchObject({ code: "ERR_NETMEM_TYPE_CONFLICT" });
    expect(types.isSupported(wrong.type)).toBe(false);
  }
});

test("a name longer than the arena keeps of it is a name like any other", () => {
  const { memTypes } = createCoreHost().host;
  const name = "a type of somebody who likes long names";
  const own = model(memTypes.numberOf(name), name);
  memTypes.install(own);
  expect(memTypes.modelOf(own.type)).toBe(own);
  expect(errorOf(() => memTypes.install(model(own.type, "another type")))).toMatchObject({
    code: "ERR_NETMEM_TYPE_CONFLICT",
  });
});

test("the empty name is no name", () => {
  expect(errorOf(() => createCoreHost().host.memTypes.numberOf(""))).toMatchObject({
    code: "ERR_NETMEM_INVALID_PARAM",
    param: "name",
  });
});

test("256 types and no more; a known name is still answered", () => {
  const types = new MemTypeRegistry();
  for (let type = 5; type < 256; type++) expect(types.numberOf(`type-${type}`)).toBe(type);
  expect(errorOf(() => types.numberOf("one more"))).toMatchObject({
    code: "ERR_NETMEM_TYPES_EXHAUSTED",
    errno: "ENOSPC",
    value: "one more",
  });
  expect(types.numberOf("type-255")).toBe(255);
});

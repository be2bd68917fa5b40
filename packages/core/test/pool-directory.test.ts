import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { type ListedPool, type PagePoolRecord, PoolDirectory, type PoolEventKind } from "../src/index.ts";
import { createCoreHost } from "./core-host.ts";

class FakeListedPool implements ListedPool {
  readonly name: string;
  id = 0;
  inflight = 0;
  describeCount = 0;

  constructor(directory: PoolDirectory, name: string) {
    this.name = name;
    this.id = directory.reserve(this);
  }

  describe(): PagePoolRecord {
    this.describeCount++;
    return { id: this.id, inflight: this.inflight, inflightMem: this.inflight * 4096 };
  }
}

test("ids count up from 1 and are not reused soon", () => {
  const directory = new PoolDirectory();
  const [a, b] = [new FakeListedPool(directory, "a"), new FakeListedPool(directory, "b")];
  expect([a.id, b.id]).toEqual([1, 2]);
  directory.remove(a.id);
  expect(new FakeListedPool(directory, "c").id).toBe(3);
});

test("pools are found and listed in order of creation until removed", () => {
  const directory = new PoolDirectory();
  const pools = ["a", "b", "c"].map((name) => new FakeListedPool(directory, name));
  expect(directory.list()).toEqual(pools);
  directory.remove(2);
  expect(directory.list().map(({ name }) => name)).toEqual(["a", "c"]);
  expect([directory.get(1), directory.get(2)]).toEqual([pools[0], null]);
});

test("a listing is a snapshot", () => {
  const directory = new PoolDirectory();
  const pool = new FakeListedPool(directory, "a");
  const list = directory.list();
  directory.remove(pool.id);
  expect(list).toEqual([pool]);
});

test("add, change and del reach every listener, with the record of that moment", () => {
  const directory = new PoolDirectory();
  const pool = new FakeListedPool(directory, "a");
  const seen: [string, PoolEventKind, number][] = [];
  directory.subscribe((kind, record) => seen.push(["first", kind, record.inflight]));
  const stop = directory.subscribe((kind, record) => seen.push(["second", kind, record.inflight]));
  directory.publish("add", pool.id);
  pool.inflight = 3;
  directory.publish("change", pool.id);
  stop();
  directory.publish("del", pool.id);
  expect(seen).toEqual([
    ["first", "add", 0],
    ["second", "add", 0],
    ["first", "change", 3],
    ["second", "change", 3],
    ["first", "del", 3],
  ]);
  expect(pool.describeCount).toBe(3);
});

test("nobody is told about a pool that is not listed, and nothing is described for nobody", () => {
  const directory = new PoolDirectory();
  const pool = new FakeListedPool(directory, "a");
  directory.publish("add", pool.id);
  expect(pool.describeCount).toBe(0);
  const seen: PoolEventKind[] = [];
  directory.subscribe((kind) => seen.push(kind));
  directory.publish("add", 99);
  directory.remove(pool.id);
  directory.publish("del", pool.id);
  expect(seen).toEqual([]);
});

test("a listener that throws stops neither the pool nor the other listeners: it throws from a timer", () => {
  const clock = new VirtualClock();
  const directory = createCoreHost({ clock }).host.pools;
  const pool = new FakeListedPool(directory, "a");
  const seen: PoolEventKind[] = [];
  directory.subscribe((kind) => {
    throw new Error(`first listener, ${kind}`);
  });
  directory.subscribe((kind) => seen.push(kind));
  directory.publish("add", pool.id);
  expect(seen).toEqual(["add"]);
  expect(() => clock.advance(1)).toThrow("first listener, add");
  pool.describe = () => {
    throw new Error("the provider's fillInfo");
  };
  directory.publish("change", pool.id);
  expect(seen).toEqual(["add"]);
  expect(() => clock.advance(1)).toThrow("the provider's fillInfo");
});

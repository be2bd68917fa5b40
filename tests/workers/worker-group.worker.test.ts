import { type NetmemError } from "@netmem/core";
import { type WorkerDeath, WorkerGroup, type WorkerGroupParams, type WorkerParams } from "@netmem/netdev/workers";
import { SimNic } from "@netmem/sim-nic";
import { createHost } from "netmem";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";

const module = new URL("../third-party/queue-driver/src/index.ts", import.meta.url);
const DROP = 1;
const REDIRECT = 4;
const DIE = 255;

/** A NIC with one queue, and a group with one worker for it. */
class Stand {
  readonly host = createHost({ arenaBytes: 16 * 2 ** 20 });
  readonly nic = new SimNic(this.host, { queueCount: 1, rxDescCount: 64 });
  readonly deaths: WorkerDeath[] = [];
  readonly group: WorkerGroup;

  constructor(
    worker: Partial<WorkerParams> = {},
    params: Partial<WorkerGroupParams> = {},
    others: WorkerParams[] = [],
  ) {
    const workers = [{ name: "rx", module, hardware: this.nic.shareQueue(0), ...worker }, ...others];
    const links = others.map(({ name }) => ({ from: "rx", to: name }));
    const onDeath = (death: WorkerDeath): unknown => this.deaths.push(death);
    this.group = new WorkerGroup({ host: this.host, workers, links, onDeath, ...params });
  }

  receive(count: number, firstByte: number): number {
    const frame = new Uint8Array(60).fill(firstByte);
    this.nic.service();
    let taken = 0;
    for (let n = 0; n < count; n++) if (this.nic.receive(frame, 0, frame.length)) taken++;
    this.nic.service();
    return taken;
  }

  /** Nothing that is asked for here depends on how long it takes. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      this.nic.service();
      await setTimeout(1);
    }
  }

  async close(): Promise<void> {
    await this.group.close();
    this.nic.dispose();
    await this.until(() => this.host.pools.list().length === 0);
    expect(this.host.workers.list().length).toBe(1);
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = (await promise.catch((reason: unknown) => reason)) as NetmemError;
  return error.code;
}

test("start and stop, again and again: counters go on, finish is heard, everything is home", async () => {
  const stand = new Stand();
  const { group } = stand;
  for (let round = 1; round <= 3; round++) {
    await group.start("rx");
    expect(group.isRunning("rx")).toBe(true);
    await stand.until(() => stand.receive(1, DROP) === 1);
    await stand.until(() => group.getStats("rx").rxPackets === round);
    expect(await group.stop("rx")).toBe(`${round} packets`);
    expect(group.isRunning("rx")).toBe(false);
  }
  expect(group.deaths).toEqual([]);
  await stand.close();
});

test("a worker that sleeps is woken by a single packet, every time", async () => {
  const stand = new Stand();
  await stand.group.start();
  await stand.until(() => stand.receive(1, DROP) === 1);
  for (let n = 2; n <= 50; n++) {
    await setTimeout(2);
    expect(stand.receive(1, DROP)).toBe(1);
    await stand.until(() => stand.group.getStats("rx").rxPackets === n);
  }
  await stand.close();
});

test("a queue without a worker drops and counts", async () => {
  const stand = new Stand();
  expect(stand.receive(10, DROP)).toBe(0);
  expect(stand.nic.getStats().rxNoDesc).toBe(10);
  await stand.close();
});

test("a module that throws: start says so, and nothing is left", async () => {
  const stand = new Stand({ data: "fail" });
  await expect(stand.group.start()).rejects.toThrow("asked to fail");
  await stand.group.settled();
  expect(stand.deaths.map(({ name, taken }) => [name, taken])).toEqual([["rx", 0]]);
  await stand.close();
});

test("a module that is not there", async () => {
  const stand = new Stand({ module: new URL("./nowhere.ts", import.meta.url) });
  expect(await codeOf(stand.group.start())).toBe("ERR_NETMEM_WORKER_FAILED");
  await stand.close();
});

test("a worker that dies by an error of its program is noticed, reclaimed and started again", async () => {
  const stand = new Stand();
  const { group } = stand;
  await group.start();
  await stand.until(() => stand.receive(1, DIE) === 1);
  await stand.until(() => stand.deaths.length === 1);
  await group.settled();
  expect(stand.deaths[0]).toMatchObject({ name: "rx", taken: 64, doubtful: [], report: { stranded: [] } });
  expect(stand.deaths[0]?.error.message).toContain("asked to die");
  await stand.until(() => group.isRunning("rx"));
  await stand.until(() => stand.receive(1, DROP) === 1);
  await stand.close();
});

test("of two groups with a worker of one name the one that died is reclaimed, however it is spelled", async () => {
  const host = createHost({ arenaBytes: 16 * 2 ** 20 });
  const nic = new SimNic(host, { queueCount: 2, rxDescCount: 64 });
  const groups = [0, 1].map((n) => {
    const workers = [{ name: "\u30e9\u30a4\u30f3\ud83d\ude80".padEnd(32, "x"), module, hardware: nic.shareQueue(n) }];
    return new WorkerGroup({ host, workers, restart: false });
  });
  for (const group of groups) await group.start();
  const [first, second] = groups as [WorkerGroup, WorkerGroup];
  const ids = host.workers.list().map(({ workerId }) => workerId);
  await second.terminate(second.names[0]!);
  expect(second.deaths[0]).toMatchObject({ taken: 64, report: { workerId: ids.at(-1) } });
  expect([first.deaths, host.workers.list().length]).toEqual([[], 2]);
  for (const group of groups) await group.close();
  nic.dispose();
  expect([host.pools.list(), host.workers.list().length]).toEqual([[], 1]);
});

test("with restart: false it stays down, and can be started by hand", async () => {
  const stand = new Stand({}, { restart: false });
  await stand.group.start();
  await stand.group.terminate("rx");
  expect([stand.deaths.length, stand.group.isRunning("rx")]).toEqual([1, false]);
  await stand.group.start();
  await stand.until(() => stand.receive(1, DROP) === 1);
  await stand.close();
});

test("a worker whose buffers do not come home in time is ended, and they come home to this thread", async () => {
  const keeper = { name: "keeper", module: new URL("./keeper-module.ts", import.meta.url) };
  const stand = new Stand({}, { stopTimeoutMs: 50 }, [keeper]);
  const { group, host } = stand;
  await group.start();
  expect(stand.receive(5, REDIRECT)).toBe(5);
  await stand.until(() => group.getStats("rx").xdpRedirect === 5);
  expect(await codeOf(group.stop("rx"))).toBe("ERR_NETMEM_WORKER_FAILED");
  expect(stand.deaths[0]).toMatchObject({ name: "rx", taken: 0, doubtful: [] });
  // The number of the dead one is kept for its pool.
  expect([host.pools.list().length, host.workers.list().length]).toEqual([1, 3]);
  expect(await group.stop("keeper")).toBe(5);
  await stand.close();
});

test("a worker whose thread cannot be started leaves its hardware free, to be tried again", async () => {
  const stand = new Stand({ data: () => "no function crosses threads" });
  for (let n = 0; n < 2; n++) await expect(stand.group.start()).rejects.toThrow("could not be cloned");
  expect(stand.receive(3, DROP)).toBe(0);
  await stand.close();
});

test("what is sent to a worker that died and stays down is refused, and goes home", async () => {
  const keeper = { name: "keeper", module: new URL("./keeper-module.ts", import.meta.url) };
  const stand = new Stand({}, { restart: false }, [keeper]);
  const { group } = stand;
  await group.start();
  await group.terminate("keeper");
  await stand.until(() => stand.receive(1, REDIRECT) === 1);
  await stand.until(() => group.getStats("rx").xdpRedirect === 1);
  await stand.until(() => group.getStats("rx").xmitErrors === 1);
  await stand.close();
});

test("an onDeath that throws is a warning; deaths are dealt with as before, and so is the restart", async () => {
  const warnings: string[] = [];
  let heard = 0;
  const onDeath = (): never => {
    heard++;
    throw new Error("not interested");
  };
  const stand = new Stand({}, { onDeath });
  Object.defineProperty(stand.host, "warn", { value: (code: string) => warnings.push(code) });
  const { group } = stand;
  await group.start();
  for (let n = 1; n <= 2; n++) {
    await group.terminate("rx");
    expect([heard, group.deaths.length, group.isRunning("rx")]).toEqual([n, n, true]);
  }
  expect(warnings).toEqual(["WARN_NETMEM_WORKER_DEATH", "WARN_NETMEM_WORKER_DEATH"]);
  await stand.close();
});

test("closed once is closed: again it does nothing, and nothing starts any more", async () => {
  const stand = new Stand({}, {}, [{ name: "keeper", module: new URL("./keeper-module.ts", import.meta.url) }]);
  const { group, host } = stand;
  await group.start();
  await Promise.all([group.close(), group.close()]);
  // The words of the group are somebody else's now.
  const words = Array.from({ length: 8 }, () => host.heap.allocWords(1024));
  for (const at of words) host.i32.fill(0x01010101, at, at + 1024);
  await group.close();
  expect(await codeOf(group.start())).toBe("ERR_NETMEM_WORKER_STATE");
  for (const at of words) expect(host.i32.subarray(at, at + 1024).every((word) => word === 0x01010101)).toBe(true);
  await stand.close();
});

test("a group that cannot be made leaves nothing", async () => {
  const stand = new Stand();
  const { host } = stand;
  const workers = [
    { name: "a", module },
    { name: "b", module },
  ];
  const links = [
    { from: "a", to: "b" },
    { from: "b", to: "a", size: 3 },
  ];
  const make = (): unknown => new WorkerGroup({ host, workers, links });
  // The heap keeps the pages that it cut.
  for (let n = 0; n < 64; n++) expect(make).toThrow("ERR_NETMEM_INVALID_PARAM");
  const free = host.pages.freePageCount();
  for (let n = 0; n < 64; n++) expect(make).toThrow("ERR_NETMEM_INVALID_PARAM");
  expect(host.pages.freePageCount()).toBe(free);
  await stand.close();
});

test("mistakes are coded errors", async () => {
  const stand = new Stand();
  const { group, host, nic } = stand;
  expect(await codeOf(group.start("tx"))).toBe("ERR_NETMEM_WORKER_UNKNOWN");
  expect(await codeOf(group.stop("rx"))).toBe("ERR_NETMEM_WORKER_STATE");
  expect(await codeOf(group.terminate("rx"))).toBe("ERR_NETMEM_WORKER_STATE");
  await group.start();
  expect(await codeOf(group.start("rx"))).toBe("ERR_NETMEM_WORKER_STATE");
  const make = (workers: WorkerParams[], links: { from: string; to: string }[] = []) => {
    return () => new WorkerGroup({ host, workers, links });
  };
  expect(
    make([
      { name: "a", module },
      { name: "a", module },
    ]),
  ).toThrow("ERR_NETMEM_INVALID_PARAM");
  expect(make([{ name: "", module }])).toThrow("ERR_NETMEM_INVALID_PARAM");
  expect(make([{ name: "a", module }], [{ from: "a", to: "b" }])).toThrow("ERR_NETMEM_WORKER_UNKNOWN");
  expect(() => nic.shareQueue(1)).toThrow("ERR_NETMEM_INVALID_PARAM");
  await stand.close();
});

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

import type { Host } from "@netmem/core";
import { beforeEach, describe, expect, test } from "vitest";
import { Napi, NapiScheduler } from "../src/index.ts";
import { makeStand } from "./fixture.ts";

let host: Host;
let scheduler: NapiScheduler;
let log: string[];

beforeEach(() => {
  ({ host, scheduler } = makeStand({ cpu: 2 }));
  log = [];
});

/** An instance with `packets` to do; notes every poll. */
function makeNapi(id: number, packets: number, on: NapiScheduler = scheduler, weight = 64): Napi {
  let left = packets;
  const napi: Napi = new Napi(
    host,
    on,
    id,
    (budget) => {
      const work = Math.min(left, budget);
      left -= work;
      log.push(`${id}:${work}`);
      if (work < budget) napi.completeDone();
      return work;
    },
    weight,
  );
  napi.enable();
  return napi;
}

describe("Napi", () => {
  test("is polled until it has nothing left, at most its weight a turn", () => {
    const napi = makeNapi(1, 130);
    expect(napi.schedule()).toBe(true);
    expect(scheduler.runUntilIdle()).toBe(130);
    expect(log).toEqual(["1:64", "1:64", "1:2"]);
    expect([napi.isScheduled, napi.listOwner]).toEqual([false, -1]);
  });

  test("is on one list once, and its owner is the scheduler's CPU meanwhile", () => {
    const napi = makeNapi(1, 1);
    expect([napi.schedule(), napi.schedule(), scheduler.pendingCount, napi.listOwner]).toEqual([true, false, 1, 2]);
  });

  test("what is scheduled while it completes gets another poll", () => {
    let polls = 0;
    const done: boolean[] = [];
    const napi: Napi = new Napi(
      host,
      scheduler,
      1,
      () => {
        if (polls++ === 0) napi.schedule();
        done.push(napi.completeDone());
        return 0;
      },
      64,
    );
    napi.enable();
    napi.schedule();
    scheduler.runUntilIdle();
    expect(done).toEqual([false, true]);
  });

  test("scheduled in its own poll once it is complete, it is on the list once", () => {
    let polls = 0;
    const napi: Napi = new Napi(
      host,
      scheduler,
      1,
      () => {
        napi.completeDone();
        // What unmasking an interrupt does that is pending.
        if (polls++ === 0) napi.schedule();
        return 0;
      },
      64,
    );
    napi.enable();
    napi.schedule();
    scheduler.runOnce();
    expect([napi.isScheduled, scheduler.pendingCount]).toEqual([true, 1]);
    scheduler.runUntilIdle();
    expect([polls, scheduler.pendingCount]).toEqual([2, 0]);
  });

  test("cannot be scheduled while disabled, and disabling takes it off the list", () => {
    const napi = makeNapi(1, 10);
    const other = makeNapi(2, 1);
    napi.schedule();
    other.schedule();
    napi.disable();
    expect([napi.schedule(), scheduler.pendingCount, napi.listOwner, napi.isEnabled]).toEqual([false, 1, -1, false]);
    scheduler.runUntilIdle();
    expect(log).toEqual(["2:1"]);
    napi.enable();
    expect(napi.schedule()).toBe(true);
  });

  test("enabling what is enabled does not lose its place", () => {
    const napi = makeNapi(1, 1);
    napi.schedule();
    napi.enable();
    expect([napi.isScheduled, napi.schedule()]).toEqual([true, false]);
  });

  test("disabled in its own poll it is not polled again", () => {
    const napi: Napi = new Napi(
      host,
      scheduler,
      1,
      (budget) => {
        log.push("poll");
        napi.disable();
        return budget;
      },
      64,
    );
    napi.enable();
    napi.schedule();
    scheduler.runUntilIdle(10);
    expect([log, scheduler.pendingCount, napi.listOwner]).toEqual([["poll"], 0, -1]);
  });
});

describe("NapiScheduler", () => {
  test("takes turns, those with work left behind those scheduled meanwhile", () => {
    const late = makeNapi(3, 1);
    const first: Napi = new Napi(
      host,
      scheduler,
      1,
      (budget) => {
        log.push("1");
        late.schedule();
        return log.length > 1 ? Number(!first.completeDone()) : budget;
      },
      64,
    );
    first.enable();
    first.schedule();
    makeNapi(2, 65).schedule();
    scheduler.runUntilIdle();
    expect(log).toEqual(["1", "2:64", "3:1", "1", "2:1", "3:0"]);
  });

  test("stops a run at 300 packets and goes on where it was", () => {
    for (let id = 1; id <= 8; id++) makeNapi(id, 64).schedule();
    expect(scheduler.runOnce()).toBe(320);
    expect(scheduler.pendingCount).toBe(8);
    scheduler.runOnce();
    expect(log.slice(5, 8)).toEqual(["6:64", "7:64", "8:64"]);
  });

  test("puts softirq context in force around polls, and back afterwards, also when one throws", () => {
    const seen: unknown[] = [];
    let fails = true;
    const napi: Napi = new Napi(
      host,
      scheduler,
      1,
      () => {
        const { softirq, cpu, napi: current } = host.context;
        seen.push([softirq, cpu, current === napi]);
        if (fails) throw new Error("poll failed");
        napi.completeDone();
        return 0;
      },
      64,
    );
    napi.enable();
    host.context.cpu = 5;
    napi.schedule();
    expect(() => scheduler.runOnce()).toThrow("poll failed");
    const { cpu, softirq, napi: after } = host.context;
    expect([cpu, softirq, after]).toEqual([5, false, null]);
    expect([napi.isScheduled, scheduler.pendingCount]).toEqual([true, 1]);
    fails = false;
    scheduler.runUntilIdle();
    expect(seen).toEqual([
      [true, 2, true],
      [true, 2, true],
    ]);
    expect(napi.isScheduled).toBe(false);
  });

  test("refuses a poll that did more than its weight", () => {
    const napi = new Napi(host, scheduler, 1, (budget) => budget + 1, 8);
    napi.enable();
    napi.schedule();
    expect(() => scheduler.runOnce()).toThrow(expect.objectContaining({ code: "ERR_NETMEM_NAPI_OVER_BUDGET" }));
  });

  test("holds any number of instances", () => {
    const napis = Array.from({ length: 100 }, (_, n) => makeNapi(n + 1, 1));
    // Moves the head of the list away from its start.
    for (const napi of napis.slice(0, 10)) napi.schedule();
    expect(scheduler.runUntilIdle()).toBe(10);
    for (const napi of napis) napi.schedule();
    expect(scheduler.runUntilIdle()).toBe(90);
    expect(log.slice(10)).toEqual(napis.map((napi, n) => `${napi.id}:${n < 10 ? 0 : 1}`));
  });

  test("runUntilIdle gives up after the runs it was given", () => {
    const napi = new Napi(host, scheduler, 1, (budget) => budget, 1);
    napi.enable();
    napi.schedule();
    expect([scheduler.runUntilIdle(5), scheduler.pendingCount]).toEqual([5, 1]);
  });

  test("checks its parameters", () => {
    expect(() => new NapiScheduler(host, { budgetPkts: 0 })).toThrow("budgetPkts");
    expect(() => new NapiScheduler(host, { cpu: -1 })).toThrow("cpu");
  });
});

describe("automatic running", () => {
  test("kicks once, runs, and kicks again while something is left", () => {
    const kicks: (() => void)[] = [];
    const auto = new NapiScheduler(host, { kick: (run) => kicks.push(run), budgetPkts: 64 });
    makeNapi(1, 100, auto).schedule();
    makeNapi(2, 1, auto).schedule();
    expect(kicks).toHaveLength(1);
    const turn = (): void => {
      for (const run of kicks.splice(0)) run();
    };
    turn();
    expect([log, kicks.length]).toEqual([["1:64"], 1]);
    turn();
    turn();
    turn();
    expect(log).toEqual(["1:64", "2:1", "1:36"]);
    expect([auto.pendingCount, kicks.length]).toEqual([0, 0]);
  });
});

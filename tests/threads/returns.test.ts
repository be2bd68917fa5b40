import {
  asNetmemRef,
  type AttachParams,
  attachHost,
  genOf,
  type Host,
  idxOf,
  type MemOwner,
  metaState,
  type NetmemRef,
  NetmemState,
  type NetmemWarning,
  ownerTag,
  returnNetmem,
  returnNetmemBulk,
} from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import { createPagePool } from "@netmem/page-pool";
import { createReturns, createReturnsWith } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { expect, test } from "vitest";

/* Several threads of a host, all played by one: what returns between them do where something is wrong. */

interface Scene {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly attach: (rest?: Partial<AttachParams>) => Host;
}

function createScene(onWarning?: () => void): Scene {
  const warnings: NetmemWarning[] = [];
  const clock = new VirtualClock();
  const host = createHost({
    arenaBytes: 8 * 2 ** 20,
    clock,
    onWarning: onWarning ?? ((warning) => warnings.push(warning)),
  });
  const params = { clock, pageAllocator: attachPageAllocator, returns: createReturns };
  return { host, clock, warnings, attach: (rest = {}) => attachHost(host.share(), { ...params, ...rest }) };
}

function take(host: Host, count: number): Int32Array {
  const refs = new Int32Array(count);
  expect(createPagePool(host, { poolSize: 64 }).allocBulk(refs, count)).toBe(count);
  return refs;
}

function statesOf(host: Host, refs: Iterable<number>): number[] {
  return Array.from(refs, (ref) => metaState(host.i32[idxOf(asNetmemRef(ref))] ?? 0));
}

test("a buffer that is in a batch twice costs no other buffer, by ring and by overflow list", () => {
  for (const ringSize of [1, 2, 8]) {
    const { host, attach } = createScene();
    const worker = attach({ returns: createReturnsWith({ ringSize }) });
    const refs = take(host, 4);
    returnNetmemBulk(worker, Int32Array.of(...refs, refs[3] ?? 0), 5);
    host.drainInbox();
    expect(statesOf(host, refs), `ring of ${ringSize}`).toEqual(Array(4).fill(NetmemState.Pooled));
  }
});

test("a callback for warnings that throws costs no buffer", () => {
  const { host, clock, attach } = createScene(() => {
    throw new Error("from the callback");
  });
  const worker = attach();
  const refs = take(host, 4);
  returnNetmemBulk(worker, Int32Array.of(refs[0] ?? 0, ...refs), 5);
  host.drainInbox();
  expect([statesOf(host, refs), host.returnCounts]).toEqual([
    Array(4).fill(NetmemState.Pooled),
    { delivered: 5, refused: 1 },
  ]);
  expect(() => clock.advance(1)).toThrow("from the callback");
});

test("who sleeps is woken by what a dead worker had not handed over", () => {
  const { host, attach } = createScene();
  const [worker, bystander] = [attach(), attach()];
  const [ref = 0] = take(host, 1);
  const { returns, i32 } = host;
  host.drainInbox();
  expect(returns?.prepareSleep()).toBe(true);
  worker.returns?.push(asNetmemRef(ref), host.workerId);
  expect(i32[returns?.sleepingAt ?? 0]).toBe(1);
  bystander.reclaim(worker.workerId);
  expect([i32[returns?.sleepingAt ?? 0], host.drainInbox()]).toEqual([0, 1]);
});

test("who took over from a dead worker is woken by what comes for that one's pools", () => {
  const { host, attach } = createScene();
  const [worker, bystander] = [attach(), attach()];
  const [ref = 0] = take(worker, 1);
  host.reclaim(worker.workerId);
  host.drainInbox();
  const { returns, i32 } = host;
  expect(returns?.prepareSleep()).toBe(true);
  returnNetmem(bystander, asNetmemRef(ref));
  expect(i32[returns?.sleepingAt ?? 0]).toBe(0);
  expect([returns?.prepareSleep(), host.drainInbox(), returns?.prepareSleep()]).toEqual([false, 1, true]);
  returns?.cancelSleep();
});

/** A buffer of an owner whose type cannot be taken over; its worker is dead. */
function strand({ host, attach }: Scene): NetmemRef {
  const worker = attach();
  const owner: MemOwner = { memType: worker.memTypes.numberOf("left"), name: "left", returnSlow: () => {} };
  const page = asNetmemRef(worker.pages.allocPages(0));
  worker.i32[idxOf(page)] = ownerTag(worker.owners.claim(owner), NetmemState.Out) | genOf(page);
  expect(host.reclaim(worker.workerId).stranded).toMatchObject([{ name: "left" }]);
  return page;
}

test("a buffer whose owner died and was not adopted is reported once, and does not go round", () => {
  const scene = createScene();
  const { host, warnings, attach } = scene;
  const bystander = attach();
  const ref = strand(scene);
  for (const returner of [host, bystander]) {
    returnNetmem(returner, ref);
    expect([host.drainInbox(), host.returns?.hasWork(), host.drainInbox()]).toEqual([1, false, 0]);
    expect(warnings.splice(0)).toMatchObject([{ code: "WARN_NETMEM_OWNER_STRANDED" }]);
  }
  expect(host.returnCounts).toEqual({ delivered: 2, refused: 2 });
});

test("a dead worker's number is nobody's before all that it left is taken over", () => {
  const { host, attach } = createScene();
  const worker = attach();
  const { returns } = host;
  if (returns === null) throw new Error("no returns");
  const takeBack = returns.takeBack.bind(returns);
  const attached: number[] = [];
  Object.defineProperty(returns, "takeBack", {
    value: (workerId: number) => {
      attached.push(attach().workerId);
      return takeBack(workerId);
    },
  });
  host.reclaim(worker.workerId);
  attached.push(attach().workerId);
  expect(attached).toEqual([2, worker.workerId]);
});

test("a watch that outlives its thread's part leaves the next thread's inbox alone", () => {
  const { host, clock, attach } = createScene();
  const first = attach();
  const stops = [first.watchInbox(), first.watchInbox()];
  first.detach();
  const next = attach();
  expect(next.workerId).toBe(first.workerId);
  const [ref = 0] = take(next, 1);
  returnNetmem(host, asNetmemRef(ref));
  clock.advance(1000);
  for (const stop of stops) stop();
  expect([statesOf(host, [ref]), next.drainInbox(), statesOf(host, [ref])]).toEqual([
    [NetmemState.Out],
    1,
    [NetmemState.Pooled],
  ]);
});

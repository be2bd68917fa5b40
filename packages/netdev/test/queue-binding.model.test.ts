import type { ListedPool } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type QueueRules, type RxQueue, XdpVerdict } from "../src/index.ts";
import { type BindingStand, makeBindingStand } from "./binding-fixture.ts";

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
const given = process.env["NETMEM_SEED"];
const seed = given === undefined || given === "" ? Math.floor(Math.random() * 2 ** 31) : Number(given);
console.log(`queue binding model: NETMEM_SEED=${seed}`);

const QUEUES = 4;
const kinds = [
  "open",
  "close",
  "bind",
  "unbind",
  "swap",
  "split",
  "unsplit",
  "threshold",
  "channels",
  "program",
  "noProgram",
  "xsk",
  "noXsk",
  "receive",
  "poll",
  "failStart",
  "failTwice",
  "failAlloc",
] as const;

interface Command {
  readonly kind: (typeof kinds)[number];
  readonly queueIdx: number;
  readonly n: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.constantFrom(...kinds),
  queueIdx: fc.nat(QUEUES - 1),
  n: fc.nat(10),
});

/** A device under random commands, and what must be true of it whatever they are. */
class Model {
  readonly stand: BindingStand;
  /** Calls that did something, and that were refused, by what refused them. */
  readonly outcomes = new Map<string, number>();
  private readonly rules: QueueRules;
  private received = 0;

  constructor(rules: QueueRules) {
    this.rules = rules;
    this.stand = makeBindingStand(QUEUES, { queueRules: rules });
    this.stand.device.setHeaderSplit({ tcpDataSplit: "enabled" });
    this.stand.device.open();
  }

  run(command: Command): void {
    const before = this.snapshot();
    let outcome = "done";
    try {
      this.perform(command);
    } catch (error) {
      outcome = (error as { code?: string }).code ?? String(error);
      // Whatever is refused has changed nothing, but for queues that a failed restart left dead.
      expect(this.snapshot(), `${command.kind}: ${outcome}`).toEqual(before);
    }
    const key = `${command.kind} ${outcome}`;
    this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
    this.check();
  }

  /** Everything closed: all buffers are home. */
  finish(): void {
    const { device, drivers, host, providers, scheduler, clock } = this.stand;
    for (const { faults } of drivers) {
      faults.starts.length = 0;
      faults.memAlloc = undefined;
    }
    scheduler.runUntilIdle();
    device.close();
    clock.advance(2000);
    expect(host.pools.list().length).toBe(0);
    expect(providers.map(({ outCount }) => outCount)).toEqual([0, 0]);
    expect(providers.map(({ initCount, destroyCount }) => initCount - destroyCount)).toEqual([0, 0]);
  }

  private perform({ kind, queueIdx, n }: Command): void {
    const { device, drivers, providers, scheduler } = this.stand;
    const provider = providers[n & 1]!;
    const queue = device.queues[queueIdx]!;
    const { faults } = drivers[queueIdx]!;
    const target = this.rules === "kernel" ? undefined : queueIdx;
    if (kind === "open" && !device.isUp) device.open();
    else if (kind === "close") this.close();
    else if (kind === "bind") device.openRxqProvider(queueIdx, provider);
    else if (kind === "unbind" && queue.provider !== null) device.closeRxqProvider(queueIdx, queue.provider);
    else if (kind === "swap") device.swapRxqProvider(queueIdx, provider, providers[(n + 1) & 1]!);
    else if (kind === "split") device.setHeaderSplit({ tcpDataSplit: "enabled", hdsThreshBytes: 0 }, target);
    else if (kind === "unsplit") device.setHeaderSplit({ tcpDataSplit: "disabled" }, target);
    else if (kind === "threshold") device.setHeaderSplit({ hdsThreshBytes: n * 100 }, target);
    else if (kind === "channels") device.setChannels(1 + (n % QUEUES));
    else if (kind === "program") device.setProgram(() => XdpVerdict.Pass, queueIdx, { isSingleBuffer: n > 8 });
    else if (kind === "noProgram") device.setProgram(null);
    else if (kind === "xsk") device.attachXskPool(queueIdx, {}, (["auto", "zeroCopy", "copy"] as const)[n % 3]);
    else if (kind === "noXsk") device.detachXskPool(queueIdx);
    else if (kind === "receive") this.receive(queueIdx, n * 4);
    else if (kind === "poll") scheduler.runUntilIdle();
    else if (kind === "failStart") faults.starts.splice(0, 9, new Error("no doorbell"));
    else if (kind === "failTwice" && n > 8)
      faults.starts.splice(0, 9, new Error("no doorbell"), new Error("still none"));
    else if (kind === "failAlloc") faults.memAlloc = n > 5 ? new Error("out of memory") : undefined;
  }

  /** What has been received is the only thing that closing a device may drop. */
  private close(): void {
    this.stand.scheduler.runUntilIdle();
    this.stand.device.close();
  }

  private receive(queueIdx: number, count: number): void {
    for (let n = 0; n < count; n++)
      this.received += Number(this.stand.drivers[queueIdx]?.receive(60 + n * 40) === true);
  }

  private snapshot(): object {
    const { device } = this.stand;
    return {
      channels: device.realQueueCount,
      isUp: device.isUp,
      queues: device.queues.map(({ provider, headerSplit, xsk, burst, isSingleBuffer }) => {
        return [provider?.name, headerSplit, xsk?.mode, burst.program !== null, isSingleBuffer];
      }),
    };
  }

  private check(): void {
    const { device, delivered, drivers } = this.stand;
    for (const queue of device.queues) this.checkQueue(queue);
    const waiting = drivers.reduce((sum, driver) => sum + driver.waitingCount, 0);
    expect(delivered + waiting, "packets delivered or waiting").toBe(this.received);
    if (this.rules === "perQueue") return;
    const isBound = device.queues.some(({ provider }) => provider !== null);
    if (!isBound) return;
    expect(
      device.queues.some(({ burst }) => burst.program !== null),
      "a program beside a provider",
    ).toBe(false);
  }

  private checkQueue(queue: RxQueue): void {
    const { device, drivers } = this.stand;
    const { queueIdx, provider, headerSplit, xsk, isSingleBuffer } = queue;
    const driver = drivers[queueIdx]!;
    const isRunning = device.isQueueRunning(queueIdx);
    expect(driver.memCount, `memories of queue ${queueIdx}`).toBe(isRunning ? 1 : 0);
    expect(driver.mem !== null).toBe(isRunning);
    expect(queue.napi.isEnabled, `napi of queue ${queueIdx}`).toBe(isRunning);
    if (headerSplit.tcpDataSplit === "enabled") expect(isSingleBuffer).toBe(false);
    if (provider === null) return;
    expect([queueIdx < device.realQueueCount, headerSplit.tcpDataSplit, headerSplit.hdsThreshBytes]).toEqual([
      true,
      "enabled",
      0,
    ]);
    expect(xsk?.mode).not.toBe("zeroCopy");
    const memory: ListedPool | undefined = driver.mem?.payload;
    if (isRunning) expect(memory?.provider, `memory of queue ${queueIdx}`).toBe(provider);
  }
}

test.each(["kernel", "perQueue"] as const)(
  "random bindings, restarts, channels and programs under %s rules",
  (rules) => {
    const outcomes = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(command, { minLength: 20, maxLength: 120, size: "max" }), (commands) => {
        const model = new Model(rules);
        for (const one of commands) model.run(one);
        model.finish();
        for (const [key, count] of model.outcomes) outcomes.set(key, (outcomes.get(key) ?? 0) + count);
      }),
      { seed, numRuns: 60 },
    );
    console.log([...outcomes].map(([key, count]) => `${key} ${count}`).join(", "));
    for (const kind of kinds) expect(outcomes.get(`${kind} done`) ?? 0, `${kind} never worked`).toBeGreaterThan(0);
  },
);

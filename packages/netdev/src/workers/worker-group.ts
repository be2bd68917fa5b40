import { failParam, type Host } from "@netmem/core";
import type { QueueStats } from "../queue-counters.ts";
import type { LinkInput } from "../queue-worker-module.ts";
import { WorkerCommand, WorkerState } from "../worker-words.ts";
import { failUnknownWorker, failWorkerState } from "./errors.ts";
import { Link, type LinkParams } from "./link.ts";
import { type ThreadEnd, WorkerMember, type WorkerParams } from "./member.ts";
import { reclaimWorker, type WorkerDeath } from "./reclaim.ts";

export interface WorkerGroupParams {
  readonly host: Host;
  readonly workers: readonly WorkerParams[];
  /** Ways for frames between the workers, one for each direction. */
  readonly links?: readonly LinkParams[];
  /**
   * Called when a worker died, after everything that it had is home again and before it is started again. What it throws is
   * a warning, `WARN_NETMEM_WORKER_DEATH`.
   */
  readonly onDeath?: (death: WorkerDeath) => void;
  /** Start a worker that died again, on a new thread. One that dies before it ran stays down. Default true. */
  readonly restart?: boolean;
  /** How long {@link WorkerGroup.stop} waits for buffers that others hold, before it ends the thread. Default 10000. */
  readonly stopTimeoutMs?: number;
  /** How long the others may take to pause when a worker died, before it is reclaimed without that. Default 5000. */
  readonly pauseTimeoutMs?: number;
}

const MAX_NAME = 32;
const LOOK_MS = 1;

/**
 * A worker per queue: threads that each drive a queue of hardware that stays here, or take frames from each other. All
 * calls on the thread that made the group, whose event loop must turn for them to end; its host is the creator's or an
 * attached one. Control path.
 */
export class WorkerGroup {
  /** Workers that died, oldest first. */
  readonly deaths: readonly WorkerDeath[];
  private readonly died: WorkerDeath[] = [];
  private readonly params: WorkerGroupParams;
  private readonly host: Host;
  private readonly members: ReadonlyMap<string, WorkerMember>;
  private readonly links: readonly Link[];
  private readonly ends = new Map<string, (end: ThreadEnd) => void>();
  /** Deaths are dealt with one after the other. Never rejected: the next one is to be dealt with, too. */
  private work: Promise<void> = Promise.resolve();
  private closing: Promise<void> | null = null;

  /** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_WORKER_UNKNOWN` (ESRCH), `ERR_NETMEM_NO_MEMORY` (ENOMEM) */
  constructor(params: WorkerGroupParams) {
    this.params = params;
    this.host = params.host;
    this.deaths = this.died;
    const { workers, links = [] } = params;
    for (const { name } of workers) checkName(name, workers);
    const names = workers.map(({ name }) => name);
    for (const name of links.flatMap(({ from, to }) => [from, to])) {
      if (!names.includes(name)) failUnknownWorker(name, names);
    }
    const made: { free(): void }[] = [];
    const keep = <One extends { free(): void }>(one: One): One => {
      made.push(one);
      return one;
    };
    try {
      this.members = new Map(workers.map((one) => [one.name, keep(new WorkerMember(params.host, one))]));
      this.links = links.map((link, n) => keep(new Link(params.host, link, n + 1)));
    } catch (error) {
      for (const one of made) one.free();
      throw error;
    }
  }

  /** Names of the workers, as they were given. */
  get names(): string[] {
    return [...this.members.keys()];
  }

  /** Whether a worker's thread runs its loop. */
  isRunning(name: string): boolean {
    const { thread, state } = this.member(name);
    return thread !== null && (state === WorkerState.Running || state === WorkerState.Paused);
  }

  /** Counters of a worker's queue, over all threads that it had. */
  getStats(name: string): QueueStats {
    return this.member(name).getStats();
  }

  /**
   * Starts a worker, or all that are down; resolves when they run.
   * @throws `ERR_NETMEM_WORKER_FAILED` with what the module threw, `ERR_NETMEM_WORKER_STATE` (EBUSY) when it has a thread or
   * the group is closed; a `DataCloneError` for `data` that cannot be posted.
   */
  async start(name?: string): Promise<void> {
    if (name !== undefined) return this.launch(this.member(name));
    await Promise.all([...this.members.values()].filter((one) => one.thread === null).map((one) => this.launch(one)));
  }

  /**
   * Stops a worker: its hardware first, then its driver; waits until its last buffer is home, whoever has it. Resolves to
   * what `finish` of its module returned. Packets that were received and not polled are dropped, as are frames on their
   * way to it.
   *
   * @throws `ERR_NETMEM_WORKER_STATE` without a thread; `ERR_NETMEM_WORKER_FAILED` when it died meanwhile, or its buffers
   * did not come home in time: it was reclaimed then, and those come home to this thread.
   */
  async stop(name: string): Promise<unknown> {
    const member = this.member(name);
    if (member.thread === null) failWorkerState(name, "down already", "Stop a worker once.");
    if (member.wanted === WorkerCommand.Stop) failWorkerState(name, "being stopped", "Stop a worker once.");
    const ended = new Promise<ThreadEnd>((resolve) => this.ends.set(name, resolve));
    member.wanted = WorkerCommand.Stop;
    member.params.hardware?.stop();
    member.command(WorkerCommand.Stop);
    const end = await this.waitForEnd(member, ended);
    await this.work;
    if ("error" in end) throw end.error;
    return end.result;
  }

  /** Stops every worker that has a thread, together; resolves to what they returned, by name. */
  async stopAll(): Promise<Map<string, unknown>> {
    await this.work;
    const running = this.names.filter((name) => this.member(name).thread !== null);
    const results = await Promise.all(running.map(async (name) => [name, await this.stop(name)] as const));
    return new Map(results);
  }

  /**
   * Ends a worker's thread wherever it is, as if it had died. Resolves when what it had is home, and it runs again if it is
   * to be restarted.
   */
  async terminate(name: string): Promise<void> {
    const { thread } = this.member(name);
    if (thread === null) failWorkerState(name, "down", "Start it first.");
    await thread.terminate();
    await this.settled();
  }

  /** Resolves when every death that is known of was dealt with. */
  settled(): Promise<void> {
    return this.work;
  }

  /**
   * Stops everything and gives the group's words back; nothing starts any more. More calls wait for the first.
   * @throws as {@link stop}: the workers are down then, and the next call goes on.
   */
  close(): Promise<void> {
    this.closing ??= this.closeAll().catch((error: unknown) => {
      this.closing = null;
      throw error;
    });
    return this.closing;
  }

  private async closeAll(): Promise<void> {
    await this.stopAll();
    for (const link of this.links) link.free();
    for (const member of this.members.values()) member.free();
  }

  private member(name: string): WorkerMember {
    return this.members.get(name) ?? failUnknownWorker(name, this.names);
  }

  private async launch(member: WorkerMember): Promise<void> {
    if (this.closing !== null) failWorkerState(member.name, "in a closed group", "Make another group.");
    if (member.thread !== null) failWorkerState(member.name, "running", "Stop it first.");
    let hasRun = false;
    member.wanted = WorkerCommand.Run;
    await member.start(this.linksOf(member.name), (end) => this.onEnd(member, end, hasRun));
    hasRun = true;
  }

  private linksOf(name: string): { from: LinkInput[]; to: LinkInput[] } {
    const end = ({ at, target }: Link, peer: string): LinkInput => {
      return { at, target, peer, peerAt: this.member(peer).wordsAt };
    };
    return {
      from: this.links.filter(({ to }) => to === name).map((link) => end(link, link.from)),
      to: this.links.filter(({ from }) => from === name).map((link) => end(link, link.to)),
    };
  }

  private onEnd(member: WorkerMember, end: ThreadEnd, hasRun: boolean): void {
    const isWanted = member.wanted === WorkerCommand.Stop;
    if ("error" in end) {
      // At once: nobody may write to buffers that are about to go home.
      member.params.hardware?.stop();
      const { error } = end;
      const restart = !isWanted && hasRun && this.params.restart !== false;
      this.work = this.work
        .then(() => this.bury(member, error, restart))
        .catch((failure: unknown) => this.warn(member.name, "what it had could not be taken back", failure));
    }
    this.ends.get(member.name)?.(end);
    this.ends.delete(member.name);
  }

  private async bury(member: WorkerMember, error: Error, restart: boolean): Promise<void> {
    const { name, threadName, wordsAt } = member;
    const others = [...this.members.values()].filter((one) => one !== member);
    const isQuiet = await this.pause(others);
    try {
      const dead = { name, threadName, wordsAt, error };
      const death = reclaimWorker(this.host, dead, { links: this.links, isQuiet });
      this.died.push(death);
      this.tell(death);
    } finally {
      for (const one of others) if (one.wanted === WorkerCommand.Run) one.command(WorkerCommand.Run);
    }
    // Its failure is a death of its own.
    if (restart) await this.launch(member).catch(() => {});
  }

  private tell(death: WorkerDeath): void {
    try {
      this.params.onDeath?.(death);
    } catch (error) {
      this.warn(death.name, "onDeath failed", error);
    }
  }

  private warn(name: string, what: string, error: unknown): void {
    this.host.warn("WARN_NETMEM_WORKER_DEATH", `worker ${name} died; ${what}: ${String(error)}`);
  }

  /** Resolves to true when every worker that has a thread is between two turns, or past its last one. */
  private async pause(members: readonly WorkerMember[]): Promise<boolean> {
    const { clock } = this.host;
    const until = clock.nowMs() + (this.params.pauseTimeoutMs ?? 5000);
    for (const one of members) if (one.wanted === WorkerCommand.Run) one.command(WorkerCommand.Pause);
    const isQuiet = (): boolean => members.every((one) => one.isGone || one.state === WorkerState.Paused);
    while (!isQuiet() && clock.nowMs() < until) await this.sleep();
    return isQuiet();
  }

  private async waitForEnd(member: WorkerMember, ended: Promise<ThreadEnd>): Promise<ThreadEnd> {
    const { clock } = this.host;
    const until = clock.nowMs() + (this.params.stopTimeoutMs ?? 10_000);
    let isTold = false;
    for (;;) {
      const end = await Promise.race([ended, this.sleep()]);
      this.emptyLinks();
      this.host.drainInbox();
      if (end !== undefined) return end;
      if (isTold || clock.nowMs() < until) continue;
      isTold = true;
      await member.thread?.terminate();
    }
  }

  private sleep(): Promise<void> {
    return new Promise((resolve) => void this.host.clock.setTimer(() => resolve(), LOOK_MS));
  }

  /** Nobody else takes what was sent to a worker just when it stopped, and its owner waits for it. */
  private emptyLinks(): void {
    for (const link of this.links) if (this.member(link.to).isGone) link.empty();
  }
}

function checkName(name: string, workers: readonly WorkerParams[]): void {
  const isTwice = workers.filter((one) => one.name === name).length > 1;
  const isRight = name.length > 0 && name.length <= MAX_NAME && !isTwice;
  if (!isRight) failParam("name", name, `1 to ${MAX_NAME} characters, each name once`, "Rename the worker.");
}

/*
 * What a worker that died had in its hands. Its pools are taken over, see `Host.reclaim`, but their buffers outside may be
 * anywhere: posted to the hardware, in a burst, in an skb, with other workers. Those with others came through links, so
 * they lie in one or are stamped; the rest were the dead worker's, and go home. The other workers pause meanwhile, so that
 * nothing is between two places.
 */
import {
  asNetmemRef,
  type Host,
  idxOf,
  makeRef,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_SHARED,
  META_STATE_MASK,
  type NetmemRef,
  type ReclaimReport,
  returnNetmem,
} from "@netmem/core";
import { ChannelStamps } from "@netmem/ring";
import { freeSkbSlab } from "@netmem/skb";
import { forEachBuffer } from "../frame-link.ts";
import { takeSlabNote } from "../worker-words.ts";
import type { Link } from "./link.ts";

/** What was done about a worker that died. */
export interface WorkerDeath {
  readonly name: string;
  /** Why, as far as is known. */
  readonly error: Error;
  /** What the host found; null when the thread had no number on it. */
  readonly report: ReclaimReport | null;
  /** Frames that were on their way to it, sent home. */
  readonly inLinks: number;
  /** Buffers of its pools that it had itself, posted, in packets: sent home. */
  readonly taken: number;
  /** Buffers of its pools that several hold, so that nobody can say whether it was one of them. */
  readonly doubtful: readonly NetmemRef[];
}

const nothing = { taken: 0, doubtful: [] };

export interface DeadWorker {
  readonly name: string;
  readonly threadName: string;
  readonly wordsAt: number;
  readonly error: Error;
}

export interface Surroundings {
  readonly links: readonly Link[];
  /** All other workers are paused. Else nobody can say what was the dead one's, and only what it noted itself is taken. */
  readonly isQuiet: boolean;
}

/** Brings home what a dead worker had. */
export function reclaimWorker(host: Host, dead: DeadWorker, { links, isQuiet }: Surroundings): WorkerDeath {
  const { name, error } = dead;
  const worker = host.workers.list().find((one) => one.isAlive && one.name === dead.threadName);
  if (worker !== undefined) clearStamps(host, worker.workerId, links);
  const pools = new Set(host.pools.list());
  const report = worker === undefined ? null : host.reclaim(worker.workerId);
  const inLinks = links.filter(({ to }) => to === name).reduce((sum, link) => sum + link.empty(), 0);
  host.drainInbox();
  const { taken, doubtful } = report !== null && isQuiet ? takeLoose(host, report, links) : nothing;
  const slab = takeSlabNote(host, dead.wordsAt);
  if (slab !== null) freeSkbSlab(host, slab);
  // A pool that somebody waits for is gone as soon as its last buffer is home.
  for (const pool of host.pools.list()) if (!pools.has(pool)) void pool.drained?.();
  return { name, error, report, inLinks, taken, doubtful };
}

/**
 * Frames in a link are nobody's, whatever the stamps of their buffers say: it may have sent what it had taken, or died
 * while it took them. What it put in and did not show is not inside.
 */
function clearStamps(host: Host, deadId: number, links: readonly Link[]): void {
  const stamps = new ChannelStamps(host);
  for (const link of links) {
    for (const frame of link.look()) {
      forEachBuffer(host, frame, (ref) => {
        if (stamps.holderOf(ref) === deadId) stamps.clear(ref);
      });
    }
  }
}

/** Sends home the buffers of the adopted owners that no living worker has. */
function takeLoose(
  host: Host,
  report: ReclaimReport,
  links: readonly Link[],
): { taken: number; doubtful: NetmemRef[] } {
  const owners = new Set(report.adopted.map(({ ownerId }) => ownerId));
  const onTheWay = new Set<number>();
  for (const frame of links.flatMap((link) => link.look())) forEachBuffer(host, frame, (ref) => onTheWay.add(ref));
  const stamps = new ChannelStamps(host);
  const isLoose = (ref: NetmemRef): boolean => {
    const holder = stamps.holderOf(ref);
    return !onTheWay.has(ref) && (holder < 0 || !host.workers.isAlive(holder));
  };
  const outside = outsideOf(host, owners);
  const doubtful = outside.filter((ref) => isLoose(ref) && isShared(host, ref));
  const loose = outside.filter((ref) => isLoose(ref) && !isShared(host, ref));
  for (const ref of loose) returnNetmem(host, ref);
  return { taken: loose.length, doubtful };
}

function outsideOf({ i32, layout }: Host, owners: ReadonlySet<number>): NetmemRef[] {
  const refs: NetmemRef[] = [];
  for (let idx = layout.firstPageIdx; idx < layout.maxNetmems; idx++) {
    const meta = i32[idx]!;
    if ((meta & META_STATE_MASK) !== META_OUT || !owners.has(meta >>> META_OWNER_SHIFT)) continue;
    refs.push(asNetmemRef(makeRef(idx, meta & META_GEN_MASK, idx < layout.pageCount ? 0 : 1)));
  }
  return refs;
}

function isShared({ i32 }: Host, ref: NetmemRef): boolean {
  return (i32[idxOf(ref)]! & META_SHARED) !== 0;
}

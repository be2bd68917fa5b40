/*
 * data path
 *
 * What all threads share of the page allocator: the lists of blocks of every node, under one lock, and the directory of
 * the threads' lists of single pages. All of it lies in the arena; each thread has an object like this one over it.
 *
 * The lock costs nothing before the host is shared. Nothing that could call back runs under it: shrinkers are asked
 * before, and what is granted is looked at again.
 */
import {
  acquireLock as acquireLock_,
  type Host,
  MAX_NODES,
  MAX_WORKERS as MAX_WORKERS_,
  releaseLock as releaseLock_,
  repairLock,
} from "@netmem/core";
import { LISTS, LOCK, MOVING } from "./allocator-words.ts";
import { Buddy } from "./buddy.ts";

const MAX_WORKERS = MAX_WORKERS_;
const acquireLock = acquireLock_;
const releaseLock = releaseLock_;

/** The allocator's centre as one thread sees it. */
export class PageCentre {
  /** Lists of node 0, and of every node. */
  declare readonly buddy: Buddy;
  declare readonly buddies: readonly Buddy[];
  declare readonly nodeCount: number;
  declare private readonly host: Host;
  declare private readonly i32: Int32Array;
  declare private readonly lockAt: number;
  declare private readonly movingAt: number;
  declare private readonly listsAt: number;
  declare private readonly nodeTable: Uint8Array;
  declare private readonly nodeShift: number;
  /** For each node, all nodes by distance. */
  declare private readonly fallback: Int32Array;

  /** On the creating thread, puts the window's pages on the lists; on others, joins. */
  constructor(host: Host) {
    this.host = host;
    this.i32 = host.i32;
    this.lockAt = host.layout.allocatorAt + LOCK;
    this.movingAt = host.layout.allocatorAt + MOVING + host.workerId;
    this.listsAt = host.layout.allocatorAt + LISTS;
    this.buddies = Array.from({ length: host.nodeCount }, (_, nid) => new Buddy(host, nid));
    this.buddy = this.buddies[0]!;
    this.nodeCount = host.nodeCount;
    this.nodeTable = host.nodes.table;
    this.nodeShift = host.nodes.shift;
    this.fallback = createFallback(host.nodeCount);
  }

  /** @throws `ERR_NETMEM_LOCK_STUCK` (ETIMEDOUT) when the thread that holds the lock is dead or stopped. */
  lock(): void {
    if (this.host.threaded !== 0) this.lockShared();
  }

  unlock(): void {
    if (this.host.threaded !== 0) releaseLock(this.i32, this.lockAt, this.host.workerId);
  }

  private lockShared(): void {
    // Before it has the lock: repair believes the word of a worker that has it.
    this.i32[this.movingAt] = 0;
    acquireLock(this.i32, this.lockAt, this.host.workerId);
  }

  /** Takes over the lock of a dead worker; see `repairLock`. */
  takeOver(deadWorkerId: number): boolean {
    return repairLock(this.i32, this.lockAt, deadWorkerId, this.host.workerId);
  }

  /** Free pages on the lists of blocks. Without the lock, what was true a moment ago. */
  freePageCount(): number {
    let free = this.buddy.freePageCount;
    for (let nid = 1; nid < this.nodeCount; nid++) free += this.buddies[nid]!.freePageCount;
    return free;
  }

  /** The lists that a page belongs on. */
  home(idx: number): Buddy {
    return this.nodeCount === 1 ? this.buddy : this.buddies[this.nodeTable[idx >>> this.nodeShift]!]!;
  }

  /** How many nodes to try for a call that names `nid`, the nearest first. */
  triesOf(nid: number, strict: boolean): number {
    if (!strict) return this.nodeCount;
    return nid < this.nodeCount ? 1 : 0;
  }

  /** The lists of the k-th nearest node. */
  nearest(nid: number, k: number): Buddy {
    return this.buddies[this.fallback[nid * this.nodeCount + k]!]!;
  }

  /** Word offset of a thread's list of single pages, 0 for none. */
  listOf(workerId: number): number {
    return this.i32[this.listsAt + workerId]!;
  }

  setListOf(workerId: number, listAt: number): void {
    this.i32[this.listsAt + workerId] = listAt;
  }

  /** One past the last thread that may have a list. */
  get listEnd(): number {
    return this.host.threaded === 0 ? 1 : MAX_WORKERS;
  }
}

/** Rows of node ids, nearest first; of two that are as near, the lower one. Ids beyond the last node have rows as well. */
function createFallback(nodeCount: number): Int32Array {
  const nodes = Array.from({ length: nodeCount }, (_, nid) => nid);
  const rows = Array.from({ length: MAX_NODES }, (_, nid) =>
    nodes.toSorted((a, b) => Math.abs(a - nid) - Math.abs(b - nid) || a - b),
  );
  return Int32Array.from(rows.flat());
}

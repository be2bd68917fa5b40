import { releaseLock, repairLock } from "./arena-lock.ts";
import { checkInt, failParam, NetmemError } from "./errors.ts";
import type { Host } from "./host.ts";
import { COMMON_HEAP, COMMON_LOCK, INFO_AREA_MASK, INFO_AREA_SHIFT, MAX_WORKERS, OWN_STATE_AT } from "./layout.ts";
import type { OwnerInfo } from "./owners.ts";
import type { PageReclaim } from "./page-allocator.ts";
import type { HeldBuffers } from "./remote-returns.ts";

/** What a dead worker left, and what became of it. */
export interface ReclaimReport {
  readonly workerId: number;
  readonly name: string;
  /** Locks that it held: what they guard was put right. */
  readonly locks: readonly string[];
  /** What the page allocator found; null when it keeps nothing per thread. */
  readonly pages: PageReclaim | null;
  /** Owners that live on with the caller: destroyed, listed, and gone when their last buffer is home. */
  readonly adopted: readonly OwnerInfo[];
  /** Owners of types whose model cannot adopt, or threw: their buffers cannot come home. */
  readonly stranded: readonly OwnerInfo[];
  /** Areas of the netmem table that are the caller's to remove now. */
  readonly areas: number;
  /** Buffers that it had returned and not handed over: they are on their way home. */
  readonly unflushed: number;
  /** Buffers that it held, or that were on their way through its channels. */
  readonly held: HeldBuffers;
}

const nothingHeld: HeldBuffers = { queued: 0, taken: 0, doubtful: [] };

/** See `Host.reclaim`. */
export function reclaimWorker(host: Host, workerId: number): ReclaimReport {
  checkInt("workerId", workerId, 0, MAX_WORKERS - 1);
  if (workerId === host.workerId) {
    failParam("workerId", workerId, "another thread's", "Call detach() on the thread itself.");
  }
  const { name } = host.workers.describe(workerId);
  if (!host.workers.takeOver(workerId, host.workerId)) failUnknown(workerId);
  const locks = repairLocks(host, workerId);
  const pages = host.pages.reclaimWorker?.(workerId) ?? null;
  const unflushed = host.returns?.finish(workerId) ?? 0;
  const ids = [workerId, ...host.workers.inherit(workerId, host.workerId)];
  for (const id of ids) host.returns?.adopt(id);
  const adopted: OwnerInfo[] = [];
  const stranded: OwnerInfo[] = [];
  for (const owner of ids.flatMap((id) => host.owners.list(id))) {
    (adoptOwner(host, owner) ? adopted : stranded).push(owner);
  }
  const areas = host.areas.inherit(workerId, host.workerId);
  host.drainInbox();
  const held = host.returns?.takeBack(workerId) ?? nothingHeld;
  host.workers.settle(workerId);
  for (const id of ids) host.closeThread(id);
  const isOwn = ({ ownerId }: OwnerInfo): boolean => host.owners.partOf(ownerId) === 0;
  return {
    workerId,
    name,
    locks,
    pages,
    adopted: adopted.filter(isOwn),
    stranded: stranded.filter(isOwn),
    areas,
    unflushed,
    held,
  };
}

/** False for an owner that nobody here can look after. */
function adoptOwner(host: Host, { ownerId, memType, name }: OwnerInfo): boolean {
  if (host.owners.partOf(ownerId) !== 0) {
    // The dead thread's part of an allocator, which has been emptied above.
    host.owners.release(ownerId);
    return true;
  }
  const model = host.memTypes.modelOf(memType);
  if (model?.adopt === undefined || host.i32[host.owners.recordAt(ownerId) + OWN_STATE_AT] === 0) return false;
  try {
    model.adopt(ownerId);
    return true;
  } catch (error) {
    host.warn("WARN_NETMEM_ADOPT_FAILED", `${name} of a worker that died: ${String(error)}`);
    return false;
  }
}

function repairLocks(host: Host, deadId: number): string[] {
  const { commonAt } = host.layout;
  const locks: [string, number, () => void][] = [
    ["areas and names", commonAt + COMMON_LOCK, () => untagStrays(host)],
    // Its lists are whole at every step.
    ["heap", commonAt + COMMON_HEAP, () => {}],
  ];
  const found: string[] = [];
  for (const [name, at, repair] of locks) {
    if (!repairLock(host.i32, at, deadId, host.workerId)) continue;
    repair();
    releaseLock(host.i32, at, host.workerId);
    found.push(name);
  }
  return found;
}

/** Takes the marks of an area that was not finished off the netmem table. */
function untagStrays(host: Host): void {
  const { i32, layout, areas } = host;
  for (let idx = layout.pageCount; idx < layout.maxNetmems; idx++) {
    const at = layout.infoAt + idx;
    if (((i32[at]! >>> INFO_AREA_SHIFT) & INFO_AREA_MASK) === 0) continue;
    const area = areas.of(idx);
    if (area === null || idx < area.firstIdx || idx >= area.firstIdx + area.count) i32[at] = 0;
  }
}

function failUnknown(workerId: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_WORKER_UNKNOWN",
    errno: "ESRCH",
    reason: `worker ${workerId} is not attached, or was reclaimed already`,
    remedy: "Reclaim a worker once, after its thread has ended; host.workers.list() shows who is there.",
    param: "workerId",
    value: workerId,
  });
}

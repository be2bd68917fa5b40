import { NetmemError } from "@netmem/core";
import type { NetDevice } from "./net-device.ts";
import type { QueueMgmtOps } from "./queue-mgmt.ts";
import { mgmtOf } from "./queue-rules.ts";
import type { RxQueue } from "./rx-queue.ts";

/** Polls before a queue stops: those of the largest ring, twice. */
const MAX_DRAIN_POLLS = 512;

/**
 * Gives a queue new memory for the composition that it has now (kernel: `netdev_rx_queue_restart`): makes the new memory,
 * lets `check` look at it, hands on what was received, stops the queue, starts it again, frees the old. A queue that
 * is not running gets its memory when it starts; here it is only tried out.
 *
 * @throws what the driver or `check` throws. The queue then runs on the memory that it had; if not even that could be
 * started again, or it could not be stopped, it is dead (`WARN_NETMEM_QUEUE_UNHEALTHY`) until the device is closed and opened.
 * `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll.
 */
export function restartQueue(device: NetDevice, queueIdx: number, check: () => void): void {
  const queue = device.queues[queueIdx]!;
  const ops = mgmtOf(device, queueIdx);
  if (ops === null) return failManagement(queueIdx);
  if (device.scheduler.isPolling) failPolling(device.name);
  const isRunning = device.isQueueRunning(queueIdx);
  const fresh = ops.memAlloc();
  try {
    check();
  } catch (error) {
    ops.memFree(fresh);
    throw error;
  }
  if (isRunning) exchange(device, queue, ops, fresh);
  else ops.memFree(fresh);
}

/** The queue's running memory for `fresh`. */
function exchange(device: NetDevice, queue: RxQueue, ops: QueueMgmtOps, fresh: object): void {
  drainQueue(device, queue);
  const old = stop(device, queue, ops, fresh);
  try {
    start(device, queue, ops, fresh);
  } catch (error) {
    if (!tryStart(device, queue, ops, old, error)) ops.memFree(old);
    ops.memFree(fresh);
    throw error;
  }
  ops.memFree(old);
}

/**
 * Hands on every packet that the hardware has completed. From here on nothing schedules the queue, which is about to stop.
 * @throws `ERR_NETMEM_QUEUE_BUSY` (EBUSY) from inside a poll; nothing has changed then.
 */
export function drainQueue(device: NetDevice, queue: RxQueue): void {
  if (device.scheduler.isPolling) failPolling(device.name);
  queue.napi.disable();
  for (let turn = 0; turn < MAX_DRAIN_POLLS; turn++) {
    try {
      if (device.scheduler.pollNow(queue.napi) < queue.napi.weight) return;
    } catch (error) {
      // The program's; its packet is dropped, and what is behind it is still to be handed on.
      device.host.warn("WARN_NETMEM_POLL_FAILED", `queue ${queue.queueIdx} of ${device.name}: ${String(error)}`);
    }
  }
}

/** The memory that the queue ran on; the driver keeps it when it cannot stop. */
function stop(device: NetDevice, queue: RxQueue, ops: QueueMgmtOps, fresh: object): object {
  try {
    const old = ops.queueStop();
    device.host.mem.unregMemModel(queue.info);
    return old;
  } catch (error) {
    ops.memFree(fresh);
    declareDead(device, queue, `could not be stopped: ${String(error)}`);
    throw error;
  }
}

function start(device: NetDevice, queue: RxQueue, ops: QueueMgmtOps, mem: object): void {
  // Before the driver starts, as in NetDevice.open.
  queue.napi.enable();
  try {
    ops.queueStart(mem);
  } catch (error) {
    queue.napi.disable();
    device.host.mem.unregMemModel(queue.info);
    throw error;
  }
  // For what came in before the interrupt could.
  queue.napi.schedule();
}

/** The way back. False: the queue is dead. */
function tryStart(device: NetDevice, queue: RxQueue, ops: QueueMgmtOps, old: object, cause: unknown): boolean {
  try {
    start(device, queue, ops, old);
    return true;
  } catch (error) {
    declareDead(device, queue, `could not be restarted: ${String(error)}; before that: ${String(cause)}`);
    return false;
  }
}

function declareDead(device: NetDevice, queue: RxQueue, why: string): void {
  queue.isDead = true;
  device.host.warn("WARN_NETMEM_QUEUE_UNHEALTHY", `queue ${queue.queueIdx} of ${device.name} ${why}`);
}

export function failManagement(queueIdx: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_QUEUE_UNSUPPORTED",
    errno: "EOPNOTSUPP",
    reason: `the driver of queue ${queueIdx} cannot restart a queue by itself`,
    remedy: "Use a driver with queue management (`QueueDriver.mgmt`).",
    param: "queueIdx",
    value: queueIdx,
  });
}

export function failPolling(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_QUEUE_BUSY",
    errno: "EBUSY",
    reason: `a queue of device ${name} is to be stopped from inside a poll`,
    remedy: "Do it after the poll, e.g. in a microtask.",
    param: "name",
    value: name,
  });
}

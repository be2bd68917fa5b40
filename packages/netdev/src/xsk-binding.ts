import { checkInt, NetmemError } from "@netmem/core";
import type { NetDevice } from "./net-device.ts";
import { restartQueue } from "./queue-restart.ts";
import { isProviderBound, mgmtOf, queuesInScope } from "./queue-rules.ts";
import type { RxQueue } from "./rx-queue.ts";

/** How a queue serves an AF_XDP pool: by receiving into it, or by copying what it received elsewhere. */
export type XskMode = "zeroCopy" | "copy";

/** The AF_XDP pool of a queue. What it is, its driver knows. */
export interface XskBinding {
  readonly pool: object;
  readonly mode: XskMode;
}

/** See {@link NetDevice.attachXskPool} (kernel: `xp_assign_dev`). */
export function attachXsk(device: NetDevice, queueIdx: number, pool: object, wanted: XskMode | "auto"): XskMode {
  checkInt("queueIdx", queueIdx, 0, device.realQueueCount - 1);
  const queue = device.queues[queueIdx]!;
  if (queue.xsk !== null) {
    fail(queue, "EBUSY", "ERR_NETMEM_XSK_BOUND", "has an AF_XDP pool already", "Detach it first.");
  }
  queue.xsk = { pool, mode: "copy" };
  if (wanted === "copy") return "copy";
  try {
    takeZeroCopy(device, queue, pool);
    return "zeroCopy";
  } catch (error) {
    queue.xsk = wanted === "zeroCopy" ? null : { pool, mode: "copy" };
    if (wanted === "zeroCopy") throw error;
    return "copy";
  }
}

/** See {@link NetDevice.detachXskPool}. */
export function detachXsk(device: NetDevice, queueIdx: number): void {
  checkInt("queueIdx", queueIdx, 0, device.queues.length - 1);
  const queue = device.queues[queueIdx]!;
  const before = queue.xsk;
  queue.xsk = null;
  if (before?.mode !== "zeroCopy") return;
  try {
    restartQueue(device, queueIdx, () => {});
  } catch (error) {
    queue.xsk = before;
    throw error;
  }
}

function takeZeroCopy(device: NetDevice, queue: RxQueue, pool: object): void {
  const mgmt = mgmtOf(device, queue.queueIdx);
  if (mgmt?.canUseXsk !== true) {
    fail(
      queue,
      "EOPNOTSUPP",
      "ERR_NETMEM_QUEUE_UNSUPPORTED",
      "has a driver without zero-copy AF_XDP",
      "Use copy mode.",
    );
  }
  const bound = queuesInScope(device, queue).find(isProviderBound);
  if (bound !== undefined) {
    const why = `cannot be zero-copy while queue ${bound.queueIdx} has a memory provider`;
    fail(queue, "EBUSY", "ERR_NETMEM_PROVIDER_BOUND", why, "Close the provider first, or use copy mode.");
  }
  queue.xsk = { pool, mode: "zeroCopy" };
  mgmt.validateConfig?.(queue);
  restartQueue(device, queue.queueIdx, () => {});
}

function fail(queue: RxQueue, errno: string, code: string, why: string, remedy: string): never {
  const { queueIdx } = queue;
  throw new NetmemError({
    code,
    errno,
    reason: `receive queue ${queueIdx} ${why}`,
    remedy,
    param: "queueIdx",
    value: queueIdx,
  });
}

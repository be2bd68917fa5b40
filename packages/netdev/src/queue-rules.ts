import { NetmemError } from "@netmem/core";
import type { NetDevice } from "./net-device.ts";
import type { QueueMgmtOps } from "./queue-mgmt.ts";
import type { RxQueue } from "./rx-queue.ts";

/**
 * What excludes what. `kernel`: a device has XDP programs, AF_XDP pools in zero-copy mode, or memory providers, and
 * header split is on or off for all of it. `perQueue`: each queue is looked at by itself; header split is needed only for
 * memory that no CPU reads, and programs run on every queue: one that reaches for unreadable bytes gets
 * `ERR_NETMEM_UNREADABLE`.
 */
export type QueueRules = "kernel" | "perQueue";

/** Queues that a rule looks at for a change of `queue`. */
export function queuesInScope(device: NetDevice, queue: RxQueue): readonly RxQueue[] {
  return device.queueRules === "kernel" ? device.queues : [queue];
}

export function isProviderBound(queue: RxQueue): boolean {
  return queue.provider !== null;
}

export function mgmtOf(device: NetDevice, queueIdx: number): QueueMgmtOps | null {
  return device.drivers[queueIdx]?.mgmt ?? null;
}

/** Kernel: `dev_xdp_install` refuses any program, in any mode, on a device with a memory provider. */
export function checkProgram(device: NetDevice, queue: RxQueue, isSingleBuffer: boolean): void {
  if (device.queueRules === "kernel") {
    const bound = device.queues.find(isProviderBound);
    if (bound !== undefined) {
      failProgram(
        "ERR_NETMEM_PROVIDER_BOUND",
        `queue ${bound.queueIdx} has memory provider ${bound.provider?.name ?? ""}`,
        "Close the provider first, or make the device with queueRules: 'perQueue'.",
        queue.queueIdx,
      );
    }
  }
  if (!isSingleBuffer || queue.headerSplit.tcpDataSplit !== "enabled") return;
  failProgram(
    "ERR_NETMEM_XDP_SINGLE_BUFFER",
    `the program takes packets in one buffer only, and queue ${queue.queueIdx} splits headers off`,
    "Use a program that handles fragments, or turn header split off.",
    queue.queueIdx,
  );
}

function failProgram(code: string, reason: string, remedy: string, queueIdx: number): never {
  throw new NetmemError({ code, errno: "EBUSY", reason, remedy, param: "queueIdx", value: queueIdx });
}

/**
 * Kernel: `dev_get_min_mp_channel_count` and the checks beside it. `count` queues must leave every queue that somebody
 * configured.
 */
export function checkChannels(device: NetDevice, count: number): void {
  for (const queue of device.queues.slice(count)) {
    const { queueIdx, provider, xsk } = queue;
    if (provider !== null) failChannels(count, `queue ${queueIdx} has memory provider ${provider.name}`);
    if (xsk?.mode === "zeroCopy") failChannels(count, `queue ${queueIdx} receives into an AF_XDP pool`);
    const rule = device.flowRules().find((one) => one.rule.queueIdx === queueIdx);
    if (rule !== undefined) failChannels(count, `flow rule ${rule.id} leads to queue ${queueIdx}`);
  }
}

function failChannels(count: number, why: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_CHANNELS_IN_USE",
    errno: "EINVAL",
    reason: `${count} channels are too few: ${why}`,
    remedy: "Close the provider, detach the pool or remove the rule first.",
    param: "count",
    value: count,
  });
}

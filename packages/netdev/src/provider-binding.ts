import { checkInt, type MemoryProviderOps, NetmemError } from "@netmem/core";
import { splitsAlways } from "./header-split.ts";
import type { NetDevice } from "./net-device.ts";
import { failManagement, restartQueue } from "./queue-restart.ts";
import { mgmtOf } from "./queue-rules.ts";
import type { RxQueue } from "./rx-queue.ts";

export interface ProviderParams {
  /** Bytes per buffer that the provider asks the driver to use, a power of two; 0 = a page. Default 0. */
  readonly rxPageSizeBytes?: number;
}

/** See {@link NetDevice.openRxqProvider} (kernel: `netif_mp_open_rxq`). */
export function openProvider(
  device: NetDevice,
  queueIdx: number,
  ops: MemoryProviderOps,
  params: ProviderParams,
): void {
  const queue = checkQueue(device, queueIdx);
  const rxPageSizeBytes = checkInt("rxPageSizeBytes", params.rxPageSizeBytes ?? 0, 0, 2 ** 30);
  checkComposition(device, queue, ops, rxPageSizeBytes);
  if (queue.provider !== null) {
    fail(queue, "EEXIST", "ERR_NETMEM_PROVIDER_BOUND", `has memory provider ${queue.provider.name}`, "Close it first.");
  }
  checkXsk(queue);
  rebind(device, queue, ops, rxPageSizeBytes);
}

/** See {@link NetDevice.swapRxqProvider}. */
export function swapProvider(
  device: NetDevice,
  queueIdx: number,
  from: MemoryProviderOps,
  to: MemoryProviderOps,
  params: ProviderParams,
): void {
  const queue = checkQueue(device, queueIdx);
  const rxPageSizeBytes = checkInt("rxPageSizeBytes", params.rxPageSizeBytes ?? 0, 0, 2 ** 30);
  checkComposition(device, queue, to, rxPageSizeBytes);
  if (queue.provider !== from) {
    fail(
      queue,
      "ENOENT",
      "ERR_NETMEM_PROVIDER_NOT_BOUND",
      `does not have memory provider ${from.name}`,
      "Open one first.",
    );
  }
  rebind(device, queue, to, rxPageSizeBytes);
}

/** See {@link NetDevice.closeRxqProvider} (kernel: `netif_mp_close_rxq`). */
export function closeProvider(device: NetDevice, queueIdx: number, ops: MemoryProviderOps): void {
  const queue = device.queues[queueIdx];
  // The device is gone; its providers were told by `uninstall`.
  if (queue === undefined && !device.isRegistered) return;
  if (queue?.provider !== ops) {
    device.host.warn(
      "WARN_NETMEM_PROVIDER_MISMATCH",
      `queue ${queueIdx} of ${device.name} is to be closed for provider ${ops.name}, which it does not have`,
    );
    return;
  }
  queue.provider = null;
  queue.rxPageSizeBytes = 0;
  try {
    restartQueue(device, queueIdx, () => {});
  } catch (error) {
    device.host.warn("WARN_NETMEM_QUEUE_RECONFIG", `queue ${queueIdx} of ${device.name}: ${String(error)}`);
  }
}

/** The device goes away: providers forget its queues. */
export function uninstallProviders(device: NetDevice): void {
  for (const queue of device.queues) {
    const { provider } = queue;
    queue.provider = null;
    queue.rxPageSizeBytes = 0;
    provider?.uninstall?.(queue);
  }
}

/** The first checks of the kernel: those that need no queue come before those that do. */
function checkQueue(device: NetDevice, queueIdx: number): RxQueue {
  if (!device.hasOpsLock) {
    throw new NetmemError({
      code: "ERR_NETMEM_QUEUE_UNSUPPORTED",
      errno: "EOPNOTSUPP",
      reason: `device ${device.name} does not lock its control path`,
      remedy: "Make the device without opsLock: false.",
      param: "opsLock",
      value: false,
    });
  }
  const queue = device.queues[queueIdx];
  if (queue !== undefined && queueIdx >= 0 && queueIdx < device.realQueueCount) return queue;
  throw new NetmemError({
    code: "ERR_NETMEM_QUEUE_RANGE",
    errno: "ERANGE",
    reason: `device ${device.name} has ${device.realQueueCount} receive queues, and ${queueIdx} is none of them`,
    remedy: "Name a queue below the number of channels.",
    param: "queueIdx",
    value: queueIdx,
  });
}

/** What has to be so for any provider on the queue, in the kernel's order. */
function checkComposition(device: NetDevice, queue: RxQueue, ops: MemoryProviderOps, rxPageSizeBytes: number): void {
  const mgmt = mgmtOf(device, queue.queueIdx) ?? failManagement(queue.queueIdx);
  if (device.queueRules === "kernel" || ops.isReadable !== true) checkSplit(queue);
  if (device.queueRules === "kernel" && device.queues.some(({ burst }) => burst.program !== null)) {
    fail(
      queue,
      "EEXIST",
      "ERR_NETMEM_XDP_ATTACHED",
      "is one of a device with an XDP program",
      "Take the program off first.",
    );
  }
  if (rxPageSizeBytes === 0 || mgmt.canSetRxPageSize === true) return;
  fail(
    queue,
    "EOPNOTSUPP",
    "ERR_NETMEM_QUEUE_UNSUPPORTED",
    "has a driver that uses pages only",
    "Ask for no rxPageSizeBytes.",
  );
}

function checkSplit(queue: RxQueue): void {
  if (queue.headerSplit.tcpDataSplit !== "enabled") {
    fail(
      queue,
      "EINVAL",
      "ERR_NETMEM_HEADER_SPLIT_OFF",
      "does not split headers off",
      "Call setHeaderSplit({ tcpDataSplit: 'enabled' }).",
    );
  }
  if (splitsAlways(queue)) return;
  fail(
    queue,
    "EINVAL",
    "ERR_NETMEM_HDS_THRESH",
    "leaves short packets in one piece",
    "Call setHeaderSplit({ hdsThreshBytes: 0 }).",
  );
}

function checkXsk(queue: RxQueue): void {
  if (queue.xsk === null) return;
  fail(queue, "EBUSY", "ERR_NETMEM_XSK_BOUND", "has an AF_XDP pool", "Detach the pool first.");
}

/** Puts the provider in force and restarts the queue on it; on any failure all is as before. */
function rebind(device: NetDevice, queue: RxQueue, ops: MemoryProviderOps, rxPageSizeBytes: number): void {
  const { provider, rxPageSizeBytes: sizeBefore, queueIdx } = queue;
  queue.provider = ops;
  queue.rxPageSizeBytes = rxPageSizeBytes;
  try {
    mgmtOf(device, queueIdx)?.validateConfig?.(queue);
    restartQueue(device, queueIdx, () => checkPoolExists(device, queue, ops));
  } catch (error) {
    queue.provider = provider;
    queue.rxPageSizeBytes = sizeBefore;
    throw error;
  }
}

/** Kernel: `page_pool_check_memory_provider`. A driver that did not ask for unreadable memory has ordinary pages now. */
function checkPoolExists(device: NetDevice, queue: RxQueue, ops: MemoryProviderOps): void {
  const isFed = device.host.pools
    .list()
    .some((pool) => pool.rxq === queue && pool.provider === ops && pool.describe().detachTime === undefined);
  if (isFed) return;
  fail(
    queue,
    "ENODATA",
    "ERR_NETMEM_PROVIDER_IGNORED",
    `has a driver that made no pool over provider ${ops.name}`,
    "Make one of the driver's pools with PagePoolFlag.AllowUnreadableNetmem and the queue as rxq.",
  );
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

import { checkInt, failParam, NetmemError } from "@netmem/core";
import type { NetDevice } from "./net-device.ts";
import { isProviderBound, mgmtOf } from "./queue-rules.ts";
import { restartQueue } from "./queue-restart.ts";
import type { RxQueue } from "./rx-queue.ts";

/** ethtool's `tcp-data-split`. `auto` is the driver's choice, which is not to split. */
export type TcpDataSplit = "auto" | "disabled" | "enabled";

/** What to change; what is left out stays. */
export interface HeaderSplitParams {
  readonly tcpDataSplit?: TcpDataSplit;
  /** Packets with at most so many bytes of payload are not split (ethtool: `hds-thresh`). */
  readonly hdsThreshBytes?: number;
}

/** Header split of a queue, as its driver reads it when it starts. */
export interface HeaderSplit {
  readonly tcpDataSplit: TcpDataSplit;
  readonly hdsThreshBytes: number;
}

export const NO_HEADER_SPLIT: HeaderSplit = { tcpDataSplit: "auto", hdsThreshBytes: 0 };

const MAX_THRESH_BYTES = 65535;
const SPLITS: readonly TcpDataSplit[] = ["auto", "disabled", "enabled"];

/** Every packet's payload is apart from its headers. */
export function splitsAlways({ headerSplit }: RxQueue): boolean {
  return headerSplit.tcpDataSplit === "enabled" && headerSplit.hdsThreshBytes === 0;
}

/** See {@link NetDevice.setHeaderSplit}. */
export function changeHeaderSplit(device: NetDevice, params: HeaderSplitParams, queueIdx: number | undefined): void {
  checkParams(device, params, queueIdx);
  const queues = device.queues.filter((queue) => queueIdx === undefined || queue.queueIdx === queueIdx);
  const next = queues.map(({ headerSplit }) => ({ ...headerSplit, ...params }));
  for (const [n, queue] of queues.entries()) checkChange(device, queue, next[n]!);
  const before = queues.map(({ headerSplit }) => headerSplit);
  let done = 0;
  try {
    for (; done < queues.length; done++) apply(device, queues[done]!, next[done]!);
  } catch (error) {
    for (let n = done - 1; n >= 0; n--) undo(device, queues[n]!, before[n]!);
    throw error;
  }
}

/** A queue that cannot even go back runs on as it is; its next start goes by what it is told here. */
function undo(device: NetDevice, queue: RxQueue, before: HeaderSplit): void {
  try {
    apply(device, queue, before);
  } catch (error) {
    queue.headerSplit = before;
    device.host.warn("WARN_NETMEM_QUEUE_RECONFIG", `queue ${queue.queueIdx} of ${device.name}: ${String(error)}`);
  }
}

/** One queue, or as it was. */
function apply(device: NetDevice, queue: RxQueue, next: HeaderSplit): void {
  const before = queue.headerSplit;
  if (before.tcpDataSplit === next.tcpDataSplit && before.hdsThreshBytes === next.hdsThreshBytes) return;
  queue.headerSplit = next;
  try {
    if (mgmtOf(device, queue.queueIdx) !== null) restartQueue(device, queue.queueIdx, () => {});
  } catch (error) {
    queue.headerSplit = before;
    throw error;
  }
}

function checkParams(device: NetDevice, params: HeaderSplitParams, queueIdx: number | undefined): void {
  if (params.tcpDataSplit !== undefined && !SPLITS.includes(params.tcpDataSplit)) {
    failParam("tcpDataSplit", params.tcpDataSplit, SPLITS.join(", "), "Pass one of them.");
  }
  if (params.hdsThreshBytes !== undefined) checkInt("hdsThreshBytes", params.hdsThreshBytes, 0, MAX_THRESH_BYTES);
  if (queueIdx === undefined) return;
  checkInt("queueIdx", queueIdx, 0, device.queues.length - 1);
  if (device.queueRules === "perQueue") return;
  failParam("queueIdx", queueIdx, "absent", "Header split is the whole device's, unless its queueRules are perQueue.");
}

/** Kernel: `ethnl_set_rings_validate`, and what `netif_mp_open_rxq` relies on. */
function checkChange(device: NetDevice, queue: RxQueue, next: HeaderSplit): void {
  const mgmt = mgmtOf(device, queue.queueIdx);
  const isOn = next.tcpDataSplit === "enabled";
  if (isOn && mgmt?.canSplitHeaders !== true) {
    failSplit(
      queue,
      "EOPNOTSUPP",
      "ERR_NETMEM_QUEUE_UNSUPPORTED",
      "its driver cannot split headers from payload",
      next,
    );
  }
  if (next.hdsThreshBytes > (mgmt?.maxHdsThreshBytes ?? 0)) {
    failSplit(
      queue,
      "EINVAL",
      "ERR_NETMEM_HDS_THRESH",
      `its driver takes a threshold of at most ${mgmt?.maxHdsThreshBytes ?? 0}`,
      next,
    );
  }
  if (isProviderBound(queue) && !(isOn && next.hdsThreshBytes === 0)) {
    failSplit(queue, "EINVAL", "ERR_NETMEM_PROVIDER_BOUND", "a memory provider needs all payload split off", next);
  }
  if (isOn && queue.isSingleBuffer) {
    failSplit(
      queue,
      "EINVAL",
      "ERR_NETMEM_XDP_SINGLE_BUFFER",
      "its program cannot handle packets in several buffers",
      next,
    );
  }
}

function failSplit(queue: RxQueue, errno: string, code: string, why: string, value: HeaderSplit): never {
  throw new NetmemError({
    code,
    errno,
    reason: `header split of queue ${queue.queueIdx} cannot be ${value.tcpDataSplit}, threshold ${value.hdsThreshBytes}: ${why}`,
    remedy: "Close the provider or take the program off first, or leave header split as it is.",
    param: "headerSplit",
    value,
  });
}

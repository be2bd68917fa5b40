export { DevMap } from "./dev-map.ts";
export { DeviceRegistry } from "./device-registry.ts";
export type { FlowRule, FlowRuleInfo, FlowSteering } from "./flow-rule.ts";
export type { HeaderSplit, HeaderSplitParams, TcpDataSplit } from "./header-split.ts";
export { Napi, NAPI_POLL_WEIGHT } from "./napi.ts";
export type { NapiPoll } from "./napi.ts";
export { NapiScheduler, NETDEV_BUDGET } from "./napi-scheduler.ts";
export type { NapiSchedulerParams, Pollable } from "./napi-scheduler.ts";
export { NetDevice } from "./net-device.ts";
export type { NetDeviceParams, QueueParams, ReceiveHandler } from "./net-device.ts";
export type { ProviderParams } from "./provider-binding.ts";
export { QueueCounter, QueueCounters } from "./queue-counters.ts";
export type { QueueStats } from "./queue-counters.ts";
export type { QueueDriver, QueueDriverStats } from "./queue-driver.ts";
export type { QueueConfig, QueueMgmtOps } from "./queue-mgmt.ts";
export type { QueueRules } from "./queue-rules.ts";
export type {
  QueuePort,
  QueueWorkerContext,
  QueueWorkerModule,
  QueueWorkerParts,
  WorkerHardware,
} from "./queue-worker-module.ts";
export { RxBurst } from "./rx-burst.ts";
export type { BurstTarget } from "./rx-burst.ts";
export { RxQueue } from "./rx-queue.ts";
export { sleepUntilWork, wakeWorker } from "./sleep.ts";
export { XdpVerdict } from "./xdp-program.ts";
export type { XdpProgram, XdpProgramOptions } from "./xdp-program.ts";
export type { XskBinding, XskMode } from "./xsk-binding.ts";

/// <reference lib="esnext.disposable" preserve="true" />
export { checkFrags, checkLandingRange, checkPages } from "./device-checks.ts";
export { deviceClosed, deviceLost } from "./device-errors.ts";
export type { DeviceFrag, DeviceIsolation, DeviceLanding, DeviceMemory } from "./device-memory.ts";
export { createDevmem } from "./devmem.ts";
export type { BindRxParams, BindTxParams, Devmem, DevmemSession, TransmitDevice } from "./devmem.ts";
export { createDevmemAllocator } from "./devmem-allocator.ts";
export type { DevmemAllocator, DevmemAllocatorStats } from "./devmem-allocator.ts";
export type { BindingStats, DevmemBinding } from "./devmem-binding.ts";
export type { DevmemProvider } from "./devmem-provider.ts";
export { DevmemSocket } from "./devmem-socket.ts";
export type { DevmemSocketParams, DevmemSocketStats } from "./devmem-socket.ts";
export type { DeviceRegion } from "./gen-pool.ts";
export { HeldTokens } from "./held-tokens.ts";
export type { HeldTokenStats, TokenWork } from "./held-tokens.ts";
export { createHostMemory } from "./host-memory.ts";
export type { HostMemory, HostMemoryParams } from "./host-memory.ts";
export { openIsolatedMemory } from "./isolated/isolated-memory.ts";
export type { IsolatedMemory, IsolatedMemoryParams } from "./isolated/isolated-memory.ts";
export type { DevicePort } from "./isolated/messages.ts";
export { serveIsolatedMemory } from "./isolated/serve.ts";
export type { DeviceKernel, ServedMemoryParams } from "./isolated/serve.ts";
export type { LandingStats, LandingZone } from "./landing-zone.ts";
export type { MemoryPorts } from "./memory-ports.ts";
export { StagedLanding } from "./staged-landing.ts";
export type { LandingEnd } from "./staged-landing.ts";
export {
  MSG_SOCK_DEVMEM,
  RECORD_DMABUF,
  RECORD_KIND,
  RECORD_OFFSET,
  RECORD_OFFSET_HIGH,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  RecordKind,
  recordOffset,
} from "./token-record.ts";
export { createTokenRing, freeTokenRing, TokenReturner } from "./token-ring.ts";
export { TX_FRAG_WORDS } from "./tx-binding.ts";
export type { DevmemTxBinding } from "./tx-binding.ts";

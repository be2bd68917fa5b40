export {
  BindFlag,
  DEFAULT_TX_BUDGET,
  DescOption,
  Errno,
  MAX_PACKET_DESCS,
  RING_NEED_WAKEUP,
  UmemFlag,
  XDP_PACKET_HEADROOM,
} from "./abi.ts";
export { AddrConsumer, AddrProducer } from "./addr-ring.ts";
export { ChunkGeometry, copyFrameBytes, zeroCopyFrameBytes } from "./chunk-geometry.ts";
export { createUmem } from "./create-umem.ts";
export type { ArenaWindow, UmemParams } from "./create-umem.ts";
export { createXskBuffPool } from "./create-xsk-buff-pool.ts";
export { DescConsumer, DescProducer } from "./desc-ring.ts";
export { checkXskInvariants } from "./invariants.ts";
export {
  ADDR_BYTES,
  checkRingEntries,
  DESC_BYTES,
  XSK_RING_OFFSETS,
  xskRingBytes,
  xskRingLayout,
} from "./ring-layout.ts";
export type { XskRingLayout, XskRingOffsets } from "./ring-layout.ts";
export { Umem } from "./umem.ts";
export type { UmemCensus } from "./umem.ts";
export { UmemDma } from "./umem-dma.ts";
export { checkUmemReg, maxHeadroomBytes } from "./umem-reg.ts";
export type { UmemLimits, UmemReg } from "./umem-reg.ts";
export { XSK_BUFF_HAS_FRAGS, XskBuffPool } from "./xsk-buff-pool.ts";
export type { XskBuffPoolParams, XskBuffPoolStats } from "./xsk-buff-pool.ts";
export { XskRings } from "./xsk-rings.ts";
export type { XskRingLayouts, XskRingsCensus, XskRingsOptions, XskRingsStats } from "./xsk-rings.ts";
export type { BindParams } from "./peer/bind.ts";
export { xskFlush, xskRcv, xskRcvZc } from "./peer/receive.ts";
export { TxVerdict, XskDevice } from "./peer/xsk-device.ts";
export type { TransmitPacket, XskDeviceParams } from "./peer/xsk-device.ts";
export { XskKernel } from "./peer/xsk-kernel.ts";
export type { OtherFile } from "./peer/xsk-kernel.ts";
export { XskQueue } from "./peer/xsk-queue.ts";
export { XskSocket } from "./peer/xsk-socket.ts";
export type { PollResult, XdpStatistics, XskRingKind } from "./peer/xsk-socket.ts";
export { ZeroCopyTx } from "./peer/zero-copy-tx.ts";

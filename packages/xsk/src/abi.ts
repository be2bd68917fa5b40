/*
 * Numbers of the kernel's `if_xdp.h`, and the errno values that data-path calls return negated, as the kernel's do.
 */

/** Flags of a UMEM (`XDP_UMEM_*`). */
export const UmemFlag = { UnalignedChunk: 1, TxSwCsum: 2, TxMetadataLen: 4 } as const;

/** Flags of a bind (`XDP_SHARED_UMEM` and its neighbours). */
export const BindFlag = { SharedUmem: 1, Copy: 2, ZeroCopy: 4, UseNeedWakeup: 8, UseSg: 16 } as const;

/** Options of an RX or TX descriptor. */
export const DescOption = {
  /** The packet goes on in the next descriptor. */
  PktContd: 1,
  /** TX metadata stands in front of the data. */
  TxMetadata: 2,
} as const;

/** Bit of a ring's flags word: the kernel sleeps until it is kicked. */
export const RING_NEED_WAKEUP = 1;

/** Bytes that the kernel keeps in front of every received packet, beyond the UMEM's headroom. */
export const XDP_PACKET_HEADROOM = 256;

/** Descriptors of one packet at most, in copy mode: a head and 17 fragments. */
export const MAX_PACKET_DESCS = 18;

/** Descriptors that one `sendto` takes in copy mode unless said otherwise (`TX_BATCH_SIZE`). */
export const DEFAULT_TX_BUDGET = 32;

/** Values of errno. */
export const Errno = {
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EINVAL: 22,
  ENOSPC: 28,
  EOPNOTSUPP: 95,
  ENETDOWN: 100,
  ENOBUFS: 105,
} as const;

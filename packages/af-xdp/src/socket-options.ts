/* Numbers of the AF_XDP socket interface that the ring code does not need. */

/** Options of a socket at level SOL_XDP. */
export const XdpOption = {
  MmapOffsets: 1,
  RxRing: 2,
  TxRing: 3,
  UmemReg: 4,
  FillRing: 5,
  CompletionRing: 6,
  Statistics: 7,
  Options: 8,
  MaxTxSkbBudget: 9,
} as const;

/** Where in the socket's "file" each ring begins. */
export const RING_FILE_OFFSET = {
  rx: 0,
  tx: 0x8000_0000,
  fill: 0x1_0000_0000,
  completion: 0x1_8000_0000,
} as const;

/** Bit of {@link XdpOption.Options}. */
export const OPTIONS_ZEROCOPY = 1;

/** `struct xdp_umem_reg` */
export const UMEM_REG_BYTES = 32;
/** `struct sockaddr_xdp` */
export const SOCKADDR_XDP_BYTES = 16;
/** `struct xdp_mmap_offsets`: four rings of four 64-bit numbers. */
export const MMAP_OFFSETS_BYTES = 128;
/** `struct xdp_statistics` */
export const STATISTICS_BYTES = 48;

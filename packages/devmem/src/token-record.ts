/*
 * What a receive call says about the bytes it delivered, one record after the other in an Int32Array (kernel: the control
 * messages `SO_DEVMEM_LINEAR` and `SO_DEVMEM_DMABUF` with a `struct dmabuf_cmsg`). Words:
 *
 *  0 offset, low 32 bits    1 offset, high 32 bits    2 bytes    3 token    4 dma-buf id    5 RecordKind
 */
export const RECORD_WORDS = 6;
export const RECORD_OFFSET = 0;
export const RECORD_OFFSET_HIGH = 1;
export const RECORD_SIZE = 2;
export const RECORD_TOKEN = 3;
export const RECORD_DMABUF = 4;
export const RECORD_KIND = 5;

/** The kernel's numbers. */
export const RecordKind = {
  /** Bytes that were copied; offset, token and id are 0. */
  Linear: 78,
  /** Bytes of device memory, held until the token is returned. */
  Dmabuf: 79,
} as const;

/** The caller of a receive takes device memory (`MSG_SOCK_DEVMEM`). */
export const MSG_SOCK_DEVMEM = 0x2000000;

/** Byte of the device at which record `n` starts. */
export function recordOffset(records: Int32Array, n: number): number {
  const at = n * RECORD_WORDS;
  return records[at + RECORD_OFFSET_HIGH]! * 2 ** 32 + (records[at + RECORD_OFFSET]! >>> 0);
}

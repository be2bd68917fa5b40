/*
 * Entries of both rings, four words each: a 64-bit offset with the area's id in its top 16 bits, as in io_uring.
 *
 *  completion   0 offset, low 32 bits   1 offset, high 32 bits   2 bytes   3 flags
 *  refill       0 offset, low 32 bits   1 offset, high 32 bits   2 bytes   3 reserved, 0
 *
 * There is one area, with id 0, and it lies in the arena, so the high word of a good offset is 0.
 */
export const ENTRY_WORDS = 4;
export const ENTRY_OFFSET = 0;
export const ENTRY_OFFSET_HIGH = 1;
export const ENTRY_LEN = 2;
export const ENTRY_FLAGS = 3;

/** Further completions follow for the same request (`IORING_CQE_F_MORE`). */
export const CQE_MORE = 2;

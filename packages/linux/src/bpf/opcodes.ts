/*
 * The eBPF instruction set, as far as our programs use it. An instruction is eight bytes:
 *
 *   0        1         2        4            8
 *  +--------+---------+--------+------------+
 *  | opcode | src dst | offset | immediate  |     little endian; src in the high four bits
 *  +--------+---------+--------+------------+
 */

/** Bytes of an instruction; a 64-bit immediate takes two. */
export const INSN_BYTES = 8;

/** r0 result, r1 to r5 arguments (lost by calls), r6 to r9 kept by calls, r10 frame pointer (read only). */
export const Reg = { R0: 0, R1: 1, R2: 2, R3: 3, R4: 4, R5: 5, R6: 6, R7: 7, R8: 8, R9: 9, R10: 10 } as const;
export type Reg = (typeof Reg)[keyof typeof Reg];

/** Size bits of loads and stores. */
export const Size = { U32: 0x00, U16: 0x08, U8: 0x10, U64: 0x18 } as const;
export type Size = (typeof Size)[keyof typeof Size];

/** 64-bit arithmetic: `dst = dst <op> operand`. */
export const Alu = { Add: 0x00, Sub: 0x10, Or: 0x40, And: 0x50, Lsh: 0x60, Rsh: 0x70, Xor: 0xa0, Mov: 0xb0 } as const;
export type Alu = (typeof Alu)[keyof typeof Alu];

/** Conditions of jumps; the comparisons are unsigned. */
export const Jmp = { Eq: 0x10, Gt: 0x20, Ge: 0x30, Ne: 0x50, Lt: 0xa0, Le: 0xb0 } as const;
export type Jmp = (typeof Jmp)[keyof typeof Jmp];

/** Functions of the kernel that programs call. */
export const Helper = { MapLookup: 1, RedirectMap: 51 } as const;
export type Helper = (typeof Helper)[keyof typeof Helper];

export const CLASS_LD = 0x00;
export const CLASS_LDX = 0x01;
export const CLASS_ST = 0x02;
export const CLASS_STX = 0x03;
export const CLASS_ALU = 0x04;
export const CLASS_JMP = 0x05;
export const CLASS_JMP32 = 0x06;
export const CLASS_ALU64 = 0x07;
export const MODE_IMM = 0x00;
export const MODE_MEM = 0x60;
export const SOURCE_REG = 0x08;
export const OP_CALL = 0x80;
export const OP_EXIT = 0x90;
export const OP_JA = 0x00;
export const OP_END = 0xd0;
/** Source register of a 64-bit immediate that is a map's file descriptor. */
export const PSEUDO_MAP_FD = 1;

/** What an XDP program answers. */
export const XdpAction = { Aborted: 0, Drop: 1, Pass: 2, Tx: 3, Redirect: 4 } as const;
export type XdpAction = (typeof XdpAction)[keyof typeof XdpAction];

/** Offsets in `struct xdp_md`, the context of an XDP program. */
export const XDP_MD_DATA = 0;
export const XDP_MD_DATA_END = 4;
export const XDP_MD_RX_QUEUE_INDEX = 16;

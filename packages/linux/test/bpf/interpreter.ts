/*
 * Runs XDP programs of ours anywhere: the instructions that the assembler writes, with every memory access checked
 * against the packet, the stack and the context. A read of a stack byte that was never written fails, too.
 */
import { INSN_BYTES, XDP_MD_DATA, XDP_MD_DATA_END, XDP_MD_RX_QUEUE_INDEX, XdpAction } from "../../src/bpf/opcodes.ts";

const PACKET_AT = 0x10_000n;
const STACK_AT = 0x20_000n;
const STACK_BYTES = 512;
const CTX_AT = 0x30_000n;
const U64 = (1n << 64n) - 1n;
const U32 = 0xffff_ffffn;
const MAX_STEPS = 10_000;

interface Region {
  readonly at: bigint;
  readonly bytes: Uint8Array;
  readonly written: Uint8Array | null;
}

export interface RunResult {
  readonly action: number;
  readonly steps: number;
}

/** Runs `program` on a packet of RX queue `queue`; a redirect to a queue in `sockets` answers REDIRECT. */
export function runXdp(
  program: Uint8Array,
  packet: Uint8Array,
  queue = 0,
  sockets: readonly number[] = [0],
): RunResult {
  const ctx = new Uint8Array(24);
  const ctxView = new DataView(ctx.buffer);
  ctxView.setUint32(XDP_MD_DATA, Number(PACKET_AT), true);
  ctxView.setUint32(XDP_MD_DATA_END, Number(PACKET_AT) + packet.length, true);
  ctxView.setUint32(XDP_MD_RX_QUEUE_INDEX, queue, true);
  const regions: Region[] = [
    { at: PACKET_AT, bytes: packet, written: null },
    { at: STACK_AT - BigInt(STACK_BYTES), bytes: new Uint8Array(STACK_BYTES), written: new Uint8Array(STACK_BYTES) },
    { at: CTX_AT, bytes: ctx, written: null },
  ];
  const machine = new Machine(program, regions, sockets);
  return machine.run();
}

class Machine {
  private readonly regs = new BigUint64Array(11);
  private readonly view: DataView;
  private readonly regions: readonly Region[];
  private readonly sockets: readonly number[];
  private pc = 0;

  constructor(program: Uint8Array, regions: readonly Region[], sockets: readonly number[]) {
    this.view = new DataView(program.buffer, program.byteOffset, program.length);
    this.regions = regions;
    this.sockets = sockets;
    this.regs[1] = CTX_AT;
    this.regs[10] = STACK_AT;
  }

  run(): RunResult {
    for (let steps = 1; steps <= MAX_STEPS; steps++) {
      const opcode = this.view.getUint8(this.pc * INSN_BYTES);
      if (opcode === 0x95) return { action: Number(this.regs[0]), steps };
      this.step(opcode);
    }
    throw new Error("the program does not end");
  }

  private step(opcode: number): void {
    const at = this.pc++ * INSN_BYTES;
    const dst = this.view.getUint8(at + 1) & 15;
    const src = this.view.getUint8(at + 1) >> 4;
    const offset = this.view.getInt16(at + 2, true);
    const imm = this.view.getInt32(at + 4, true);
    const sizeBytes = { 0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8 }[opcode & 0x18]!;
    const operand = (opcode & 8) === 0 ? BigInt.asUintN(64, BigInt(imm)) : this.regs[src]!;
    const kind = opcode & 7;
    if (opcode === 0x18) this.loadWide(dst);
    else if (opcode === 0x85) this.call(imm);
    else if (opcode === 0xdc) this.regs[dst] = swap16(this.regs[dst]!, imm);
    else if (kind === 1) this.regs[dst] = this.read(this.regs[src]! + BigInt(offset), sizeBytes);
    else if (kind === 2) this.write(this.regs[dst]! + BigInt(offset), sizeBytes, BigInt.asUintN(64, BigInt(imm)));
    else if (kind === 3) this.write(this.regs[dst]! + BigInt(offset), sizeBytes, this.regs[src]!);
    else if (kind === 7) this.regs[dst] = arithmetic(opcode & 0xf0, this.regs[dst]!, operand);
    else if (kind === 5) this.jumpIf(opcode & 0xf0, this.regs[dst]!, operand, offset);
    else if (kind === 6) this.jumpIf(opcode & 0xf0, this.regs[dst]! & U32, operand & U32, offset);
    else throw new Error(`opcode 0x${opcode.toString(16)} at ${this.pc - 1}`);
  }

  private loadWide(dst: number): void {
    this.regs[dst] = 0x50_000n;
    this.pc++;
  }

  private call(helper: number): void {
    if (helper !== 51) throw new Error(`helper ${helper}`);
    const found = this.sockets.includes(Number(this.regs[2]));
    this.regs[0] = found ? BigInt(XdpAction.Redirect) : this.regs[3]! & 3n;
  }

  private jumpIf(condition: number, left: bigint, right: bigint, offset: number): void {
    if (compare(condition, left, right)) this.pc += offset;
  }

  private find(at: bigint, bytes: number): [Region, number] {
    for (const region of this.regions) {
      const from = Number(at - region.at);
      if (from >= 0 && from + bytes <= region.bytes.length) return [region, from];
    }
    throw new Error(`access to ${bytes} bytes at 0x${at.toString(16)}, instruction ${this.pc - 1}`);
  }

  private read(at: bigint, bytes: number): bigint {
    const [region, from] = this.find(at, bytes);
    let value = 0n;
    for (let n = bytes - 1; n >= 0; n--) {
      if (region.written?.[from + n] === 0) throw new Error(`read of unwritten stack, instruction ${this.pc - 1}`);
      value = (value << 8n) | BigInt(region.bytes[from + n]!);
    }
    return value;
  }

  private write(at: bigint, bytes: number, value: bigint): void {
    const [region, from] = this.find(at, bytes);
    if (region.written === null) throw new Error("write outside the stack");
    for (let n = 0; n < bytes; n++) {
      region.bytes[from + n] = Number((value >> BigInt(8 * n)) & 0xffn);
      region.written[from + n] = 1;
    }
  }
}

function swap16(value: bigint, bits: number): bigint {
  if (bits !== 16) throw new Error("only 16 bits are swapped");
  return ((value & 0xffn) << 8n) | ((value >> 8n) & 0xffn);
}

function arithmetic(op: number, left: bigint, right: bigint): bigint {
  switch (op) {
    case 0x00:
      return (left + right) & U64;
    case 0x50:
      return left & right;
    case 0x60:
      return (left << right) & U64;
    case 0xb0:
      return right;
    default:
      throw new Error(`arithmetic 0x${op.toString(16)}`);
  }
}

function compare(condition: number, left: bigint, right: bigint): boolean {
  switch (condition) {
    case 0x00:
      return true;
    case 0x10:
      return left === right;
    case 0x20:
      return left > right;
    case 0x30:
      return left >= right;
    case 0x50:
      return left !== right;
    case 0xa0:
      return left < right;
    case 0xb0:
      return left <= right;
    default:
      throw new Error(`condition 0x${condition.toString(16)}`);
  }
}

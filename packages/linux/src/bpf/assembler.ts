import { NetmemError } from "@netmem/core";
import {
  type Alu,
  CLASS_ALU,
  CLASS_ALU64,
  CLASS_JMP,
  CLASS_JMP32,
  CLASS_LD,
  CLASS_LDX,
  CLASS_ST,
  CLASS_STX,
  type Helper,
  INSN_BYTES,
  type Jmp,
  MODE_IMM,
  MODE_MEM,
  OP_CALL,
  OP_END,
  OP_EXIT,
  OP_JA,
  PSEUDO_MAP_FD,
  type Reg,
  Size,
  SOURCE_REG,
} from "./opcodes.ts";

/** The kernel's limit for one program without further privilege is 4096 instructions; ours stay far below. */
const MAX_INSNS = 4096;

interface Insn {
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly offset: number;
  readonly imm: number;
  /** Label that a jump goes to. */
  readonly target?: string;
}

/**
 * Writes an eBPF program instruction by instruction; jumps go to labels, which may stand before or after them. Methods
 * return the assembler. Control path.
 */
export class BpfAssembler {
  private readonly insns: Insn[] = [];
  private readonly labels = new Map<string, number>();

  /** Instructions so far; a 64-bit immediate counts as two. */
  get length(): number {
    return this.insns.length;
  }

  /**
   * Names the place of the next instruction.
   * @throws `ERR_NETMEM_BPF_LABEL` for a name that is taken.
   */
  label(name: string): this {
    if (this.labels.has(name)) failLabel(name, "is defined twice");
    this.labels.set(name, this.insns.length);
    return this;
  }

  /** `dst = dst <op> imm`, 64 bits; the immediate is 32 bits, sign-extended. */
  aluImm(op: Alu, dst: Reg, imm: number): this {
    return this.emit(CLASS_ALU64 | op, dst, 0, 0, imm);
  }

  /** `dst = dst <op> src`, 64 bits. */
  aluReg(op: Alu, dst: Reg, src: Reg): this {
    return this.emit(CLASS_ALU64 | SOURCE_REG | op, dst, src, 0, 0);
  }

  /** Converts the low 16 bits of `dst` between network and host order and clears the rest. */
  be16(dst: Reg): this {
    return this.emit(CLASS_ALU | SOURCE_REG | OP_END, dst, 0, 0, 16);
  }

  /** `dst = *(size *)(src + offset)`. */
  load(size: Size, dst: Reg, src: Reg, offset: number): this {
    return this.emit(CLASS_LDX | MODE_MEM | size, dst, src, offset, 0);
  }

  /** `*(size *)(dst + offset) = src`. */
  store(size: Size, dst: Reg, offset: number, src: Reg): this {
    return this.emit(CLASS_STX | MODE_MEM | size, dst, src, offset, 0);
  }

  /** `*(size *)(dst + offset) = imm`. */
  storeImm(size: Size, dst: Reg, offset: number, imm: number): this {
    return this.emit(CLASS_ST | MODE_MEM | size, dst, 0, offset, imm);
  }

  /** `dst` becomes the map whose file descriptor is `fd`. */
  loadMap(dst: Reg, fd: number): this {
    this.emit(CLASS_LD | MODE_IMM | Size.U64, dst, PSEUDO_MAP_FD, 0, fd);
    return this.emit(0, 0, 0, 0, 0);
  }

  jump(target: string): this {
    return this.emit(CLASS_JMP | OP_JA, 0, 0, 0, 0, target);
  }

  /** Jumps when the low 32 bits of `left` compare to `imm`. */
  jumpImm(condition: Jmp, left: Reg, imm: number, target: string): this {
    return this.emit(CLASS_JMP32 | condition, left, 0, 0, imm, target);
  }

  /** Jumps when `left` compares to `right`, 64 bits. */
  jumpReg(condition: Jmp, left: Reg, right: Reg, target: string): this {
    return this.emit(CLASS_JMP | SOURCE_REG | condition, left, right, 0, 0, target);
  }

  /** Calls a function of the kernel with r1 to r5; r0 is its result. */
  call(helper: Helper): this {
    return this.emit(CLASS_JMP | OP_CALL, 0, 0, 0, helper);
  }

  /** Returns r0. */
  exit(): this {
    return this.emit(CLASS_JMP | OP_EXIT, 0, 0, 0, 0);
  }

  /**
   * The program's bytes.
   * @throws `ERR_NETMEM_BPF_LABEL` for a jump to nowhere, `ERR_NETMEM_BPF_TOO_LONG` (E2BIG) beyond 4096 instructions.
   */
  assemble(): Uint8Array<ArrayBuffer> {
    if (this.insns.length > MAX_INSNS) failTooLong(this.insns.length);
    const bytes = new Uint8Array(new ArrayBuffer(this.insns.length * INSN_BYTES));
    const view = new DataView(bytes.buffer);
    for (const [n, insn] of this.insns.entries()) this.encode(view, n, insn);
    return bytes;
  }

  private encode(view: DataView, n: number, insn: Insn): void {
    const at = n * INSN_BYTES;
    const offset = insn.target === undefined ? insn.offset : this.resolve(insn.target) - n - 1;
    view.setUint8(at, insn.opcode);
    view.setUint8(at + 1, (insn.src << 4) | insn.dst);
    view.setInt16(at + 2, offset, true);
    view.setInt32(at + 4, insn.imm, true);
  }

  private resolve(name: string): number {
    return this.labels.get(name) ?? failLabel(name, "is not defined");
  }

  private emit(opcode: number, dst: number, src: number, offset: number, imm: number, target?: string): this {
    const insn = { opcode, dst, src, offset, imm };
    this.insns.push(target === undefined ? insn : { ...insn, target });
    return this;
  }
}

function failLabel(name: string, what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BPF_LABEL",
    reason: `label ${name} of the program ${what}`,
    remedy: "Define every label once.",
    param: "label",
    value: name,
  });
}

function failTooLong(length: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_BPF_TOO_LONG",
    errno: "E2BIG",
    reason: `the program has ${length} instructions, more than ${MAX_INSNS}`,
    remedy: "Use fewer rules, or broader ones.",
    param: "insns",
    value: length,
  });
}

import { checkThrows } from "@netmem/testing";
import { expect, test } from "vitest";
import { BpfAssembler } from "../../src/bpf/assembler.ts";
import { Alu, Helper, Jmp, Reg, Size } from "../../src/bpf/opcodes.ts";

const hex = (bytes: Uint8Array): string[] => {
  const text = Buffer.from(bytes).toString("hex");
  return text.match(/.{16}/g) ?? [];
};

test("instructions are what the kernel's own tools print for them", () => {
  const asm = new BpfAssembler();
  asm
    .load(Size.U32, Reg.R2, Reg.R1, 16)
    .loadMap(Reg.R1, 0x1234)
    .aluImm(Alu.Mov, Reg.R3, 2)
    .call(Helper.RedirectMap)
    .exit();
  expect(hex(asm.assemble())).toEqual([
    "6112100000000000",
    "1811000034120000",
    "0000000000000000",
    "b703000002000000",
    "8500000033000000",
    "9500000000000000",
  ]);
});

test("stores, arithmetic and byte swaps", () => {
  const asm = new BpfAssembler();
  asm.storeImm(Size.U64, Reg.R10, -8, -1).store(Size.U16, Reg.R10, -24, Reg.R0).store(Size.U8, Reg.R7, 1, Reg.R9);
  asm.aluReg(Alu.Add, Reg.R7, Reg.R1).aluImm(Alu.Lsh, Reg.R1, 2).be16(Reg.R0);
  expect(hex(asm.assemble())).toEqual([
    "7a0af8ffffffffff",
    "6b0ae8ff00000000",
    "7397010000000000",
    "0f17000000000000",
    "6701000002000000",
    "dc00000010000000",
  ]);
});

test("jumps count from the next instruction, forwards and backwards", () => {
  const asm = new BpfAssembler();
  asm
    .label("top")
    .jumpImm(Jmp.Eq, Reg.R1, 5, "end")
    .jumpReg(Jmp.Gt, Reg.R1, Reg.R2, "top")
    .jump("end")
    .label("end")
    .exit();
  expect(hex(asm.assemble())).toEqual(["1601020005000000", "2d21feff00000000", "0500000000000000", "9500000000000000"]);
  expect(asm.length).toBe(4);
});

test("a label is defined once, and a jump leads somewhere", () => {
  checkThrows(() => new BpfAssembler().label("a").label("a"), "ERR_NETMEM_BPF_LABEL");
  checkThrows(() => new BpfAssembler().jump("nowhere").assemble(), "ERR_NETMEM_BPF_LABEL");
});

test("a program too long for the kernel is refused", () => {
  const asm = new BpfAssembler();
  for (let n = 0; n < 4096; n++) asm.exit();
  expect(asm.assemble().length).toBe(32768);
  checkThrows(() => asm.exit().assemble(), "ERR_NETMEM_BPF_TOO_LONG");
});

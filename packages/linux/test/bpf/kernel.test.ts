import { isNetmemError } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BpfAssembler } from "../../src/bpf/assembler.ts";
import { BpfMapType } from "../../src/bpf/bpf-abi.ts";
import { type BpfMap, createBpfMap } from "../../src/bpf/bpf-map.ts";
import { Alu, Reg, Size, XDP_MD_DATA, XDP_MD_DATA_END, XdpAction } from "../../src/bpf/opcodes.ts";
import { compileXdpFilter } from "../../src/bpf/xdp-filter.ts";
import { loadXdpProgram } from "../../src/bpf/xdp-program.ts";
import { Errno } from "../../src/errno.ts";
import { AF_XDP, SOCK_CLOEXEC, SOCK_RAW } from "../../src/socket-abi.ts";
import { openSystem, type System } from "../../src/system.ts";
import { matches, randomPacket, randomRule } from "./filter-oracle.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

interface Kernel {
  readonly system: System;
  readonly xskMap: BpfMap;
}

function open(): Kernel | string {
  try {
    const system = openSystem();
    return { system, xskMap: createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: 4, name: "test" }) };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const opened = open();
const kernel = (): Kernel => {
  if (typeof opened === "string") throw new Error(opened);
  return opened;
};
afterAll(() => {
  if (typeof opened !== "string") opened.xskMap.close();
});
beforeEach((context) => {
  if (typeof opened === "string") context.skip(`no bpf here: ${opened}`);
});

const codeOf = (fn: () => unknown): unknown[] => {
  try {
    fn();
  } catch (error) {
    return isNetmemError(error) ? [error.code, error.errno] : [error];
  }
  return [];
};

test("a verifier that signals interrupt is asked again, five times at most", () => {
  const { system } = kernel();
  const insns = new BpfAssembler().aluImm(Alu.Mov, Reg.R0, XdpAction.Pass).exit().assemble();
  const interrupted = (times: number): { readonly system: System; calls: number } => {
    const subject = { system: Object.create(system) as System, calls: 0 };
    subject.system.bpf = (command, attr) => (++subject.calls > times ? system.bpf(command, attr) : -Errno.EAGAIN);
    return subject;
  };
  const twice = interrupted(2);
  loadXdpProgram(twice.system, { insns }).close();
  expect(twice.calls).toBe(3);
  const always = interrupted(Infinity);
  expect(codeOf(() => loadXdpProgram(always.system, { insns }))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "EAGAIN"]);
  expect(always.calls).toBe(5);
});

test("a run that signals interrupt is started again", () => {
  const { system } = kernel();
  const interrupted = Object.create(system) as System;
  let signals = 0;
  interrupted.bpf = (command, attr) => (signals-- > 0 ? -Errno.EINTR : system.bpf(command, attr));
  const insns = new BpfAssembler().aluImm(Alu.Mov, Reg.R0, XdpAction.Drop).exit().assemble();
  const program = loadXdpProgram(interrupted, { insns });
  signals = 3;
  expect(program.testRun(new Uint8Array(60), 1000).action).toBe(XdpAction.Drop);
  expect(signals).toBeLessThan(0);
  program.close();
  const next = loadXdpProgram(system, { insns });
  expect(next.fd).toBe(program.fd);
  expect(codeOf(() => program.testRun(new Uint8Array(60)))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "EBADF"]);
  next.close();
});

test("the verifier takes every filter, and the kernel answers what the rules say", () => {
  const { system, xskMap } = kernel();
  console.log(`xdp filter: NETMEM_SEED=${seed}`);
  const socket = system.check("socket", system.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  try {
    xskMap.set(0, socket);
    const prng = new Prng(seed);
    let taken = 0;
    for (let n = 0; n < 300; n++) {
      const rules = Array.from({ length: 1 + prng.below(3) }, () => randomRule(prng));
      const program = loadXdpProgram(system, { insns: compileXdpFilter(xskMap.fd, rules), name: "filter" });
      for (let k = 0; k < 10; k++) {
        const packet = randomPacket(prng);
        const isTaken = rules.some((rule) => matches(rule, packet));
        if (isTaken) taken++;
        const what = JSON.stringify({ rules, packet: Buffer.from(packet.bytes).toString("hex") });
        expect(program.testRun(packet.bytes).action, what).toBe(isTaken ? XdpAction.Redirect : XdpAction.Pass);
      }
      program.close();
    }
    expect(taken).toBeGreaterThan(200);
    xskMap.delete(0);
    const everything = loadXdpProgram(system, { insns: compileXdpFilter(xskMap.fd, []), frags: true });
    expect(everything.testRun(randomPacket(prng).bytes).action).toBe(XdpAction.Pass);
    everything.close();
  } finally {
    system.close(socket);
  }
});

test("a long list of rules still loads", () => {
  const { system, xskMap } = kernel();
  const rules = Array.from({ length: 128 }, (_, n) => ({ protocol: "udp", dst: [10, 0, 0, n], dstPort: n }) as const);
  const program = loadXdpProgram(system, { insns: compileXdpFilter(xskMap.fd, rules) });
  expect(program.testRun(new Uint8Array(64)).action).toBe(XdpAction.Pass);
  program.close();
});

test("what a program writes comes back", () => {
  const { system } = kernel();
  const asm = new BpfAssembler();
  asm.load(Size.U32, Reg.R2, Reg.R1, XDP_MD_DATA).load(Size.U32, Reg.R3, Reg.R1, XDP_MD_DATA_END);
  asm.aluReg(Alu.Mov, Reg.R4, Reg.R2).aluImm(Alu.Add, Reg.R4, 1).aluImm(Alu.Mov, Reg.R0, XdpAction.Drop);
  asm.jumpReg(0x20, Reg.R4, Reg.R3, "end").storeImm(Size.U8, Reg.R2, 0, 0xab).aluImm(Alu.Mov, Reg.R0, XdpAction.Tx);
  const program = loadXdpProgram(system, { insns: asm.label("end").exit().assemble() });
  const result = program.testRun(new Uint8Array(60), 100);
  expect([result.action, result.packet[0], result.packet.length]).toEqual([XdpAction.Tx, 0xab, 60]);
  program.close();
});

test("a program that the verifier refuses says why", () => {
  const { system } = kernel();
  const insns = new BpfAssembler().load(Size.U32, Reg.R0, Reg.R2, 0).exit().assemble();
  try {
    loadXdpProgram(system, { insns });
    expect.fail("loaded");
  } catch (error) {
    expect(error).toMatchObject({
      code: "ERR_NETMEM_BPF_REJECTED",
      errno: "EINVAL",
      cause: expect.stringMatching(/R2 !read_ok/),
    });
    expect((error as Error).message).toContain("R2 !read_ok");
  }
});

test("the log of a refused program is whole, whatever signals come", () => {
  const { system } = kernel();
  const interrupted = Object.create(system) as System;
  let calls = 0;
  // The first load is refused; the second one, which brings the log, is interrupted twice.
  interrupted.bpf = (command, attr) => (++calls === 2 || calls === 3 ? -Errno.EAGAIN : system.bpf(command, attr));
  const insns = new BpfAssembler().load(Size.U32, Reg.R0, Reg.R2, 0).exit().assemble();
  expect(() => loadXdpProgram(interrupted, { insns })).toThrow("R2 !read_ok");
});

describe("maps", () => {
  test("an array keeps values of any size", () => {
    const { system } = kernel();
    using map = createBpfMap(system, { type: BpfMapType.Array, maxEntries: 3, valueBytes: 6 });
    map.setBytes(2, Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect(map.get(2)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect(map.get(0)).toEqual(new Uint8Array(6));
    expect(map.get(3)).toBeNull();
    expect(codeOf(() => map.setBytes(3, new Uint8Array(6)))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "E2BIG"]);
    expect(codeOf(() => map.setBytes(0, new Uint8Array(4)))).toEqual(["ERR_NETMEM_INVALID_PARAM", "EINVAL"]);
    expect(codeOf(() => map.delete(0))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "EINVAL"]);
  });

  test("an XSKMAP takes AF_XDP sockets only", () => {
    const { xskMap } = kernel();
    expect(codeOf(() => xskMap.set(0, xskMap.fd))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "ENOTSOCK"]);
    expect(codeOf(() => xskMap.get(0))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "EOPNOTSUPP"]);
  });

  test("closing twice closes nothing of anybody else", () => {
    const { system } = kernel();
    const map = createBpfMap(system, { type: BpfMapType.Array, maxEntries: 1 });
    map.close();
    const next = createBpfMap(system, { type: BpfMapType.Array, maxEntries: 1 });
    expect(next.fd).toBe(map.fd);
    map.close();
    expect(codeOf(() => map.set(0, 9))).toEqual(["ERR_NETMEM_SYSTEM_CALL", "EBADF"]);
    next.set(0, 7);
    expect(next.get(0)).toEqual(Uint8Array.of(7, 0, 0, 0));
    next.close();
  });
});

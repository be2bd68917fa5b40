/*
 * A packet filter as an XDP program. The packet's key is first written to the program's stack, then every rule is a row
 * of comparisons with it, so that the verifier sees no packet pointer after the parsing:
 *
 *   r10 - 8   etherType      -16  vlanId        -24  protocol
 *       - 32  srcPort        -40  dstPort       -56  src, 16 bytes     -72  dst, 16 bytes
 *
 * Numbers are 32 bits in host order, -1 where the packet has none (0 for vlanId); addresses are as in the packet.
 */
import { BpfAssembler } from "./assembler.ts";
import { type CompiledRule, compileRule, type FilterRule } from "./filter-rule.ts";
import {
  Alu,
  Helper,
  Jmp,
  Reg,
  Size,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_MD_RX_QUEUE_INDEX,
  XdpAction,
} from "./opcodes.ts";

const ETHER_TYPE = -8;
const VLAN_ID = -16;
const PROTOCOL = -24;
const SRC_PORT = -32;
const DST_PORT = -40;
const SRC = -56;
const DST = -72;

const ETH_BYTES = 14;
const VLAN_BYTES = 4;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const PORTS_BYTES = 4;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const ETH_P_8021Q = 0x8100;
const ETH_P_8021AD = 0x88a8;
const TCP = 6;
const UDP = 17;
/** More fragments, or an offset. */
const FRAGMENT_BITS = 0x3fff;
const VLAN_ID_MASK = 0x0fff;

/* Registers that the parser keeps. */
const CTX = Reg.R6;
const LAYER3 = Reg.R7;
const END = Reg.R8;
const TYPE = Reg.R9;
const FP = Reg.R10;

/**
 * The program that sends packets which match one of `rules` to the AF_XDP socket of their RX queue in the XSKMAP `mapFd`,
 * and all others, as those of a queue without a socket, to the kernel. No rules: everything goes to the sockets.
 * At most two VLAN tags are looked through; tags that the NIC took off are not seen. Extension headers of IPv6 are not.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a bad rule, `ERR_NETMEM_BPF_TOO_LONG` (E2BIG)
 */
export function compileXdpFilter(mapFd: number, rules: readonly FilterRule[]): Uint8Array<ArrayBuffer> {
  const compiled = rules.map(compileRule);
  const asm = new BpfAssembler();
  asm.aluReg(Alu.Mov, CTX, Reg.R1);
  // A rule without conditions decides: what follows it would be unreachable, which the verifier refuses.
  const takesAll = compiled.length === 0 || compiled.some(isUnconditional);
  if (!takesAll) {
    writeParser(asm);
    for (const [n, rule] of compiled.entries()) writeRule(asm, rule, `rule ${n + 1}`);
    asm.label("pass").aluImm(Alu.Mov, Reg.R0, XdpAction.Pass).exit();
  }
  asm.label("take").load(Size.U32, Reg.R2, CTX, XDP_MD_RX_QUEUE_INDEX).loadMap(Reg.R1, mapFd);
  asm.aluImm(Alu.Mov, Reg.R3, XdpAction.Pass).call(Helper.RedirectMap).exit();
  return asm.assemble();
}

function isUnconditional({ src, dst, ...rest }: CompiledRule): boolean {
  return src.length === 0 && dst.length === 0 && Object.values(rest).every((value) => value === null);
}

/** Jumps to `target` unless the packet has `bytes` bytes from `from` on. */
function checkBytes(asm: BpfAssembler, from: Reg, bytes: number, target: string): void {
  asm.aluReg(Alu.Mov, Reg.R4, from).aluImm(Alu.Add, Reg.R4, bytes).jumpReg(Jmp.Gt, Reg.R4, END, target);
}

function writeParser(asm: BpfAssembler): void {
  for (const at of [ETHER_TYPE, PROTOCOL, SRC_PORT, DST_PORT]) asm.storeImm(Size.U64, FP, at, -1);
  for (const at of [VLAN_ID, SRC, SRC + 8, DST, DST + 8]) asm.storeImm(Size.U64, FP, at, 0);
  asm.load(Size.U32, LAYER3, CTX, XDP_MD_DATA).load(Size.U32, END, CTX, XDP_MD_DATA_END);
  checkBytes(asm, LAYER3, ETH_BYTES, "pass");
  asm.load(Size.U16, TYPE, LAYER3, 12).be16(TYPE).aluImm(Alu.Add, LAYER3, ETH_BYTES);
  writeVlanTag(asm, "outer", true);
  writeVlanTag(asm, "inner", false);
  asm.label("layer 3").store(Size.U32, FP, ETHER_TYPE, TYPE);
  asm.jumpImm(Jmp.Eq, TYPE, ETH_P_IPV6, "ipv6").jumpImm(Jmp.Ne, TYPE, ETH_P_IP, "rule 0");
  writeIpv4(asm);
  writeIpv6(asm);
  writePorts(asm);
  asm.label("rule 0");
}

function writeVlanTag(asm: BpfAssembler, name: string, isOuter: boolean): void {
  asm.jumpImm(Jmp.Eq, TYPE, ETH_P_8021Q, name).jumpImm(Jmp.Ne, TYPE, ETH_P_8021AD, "layer 3").label(name);
  checkBytes(asm, LAYER3, VLAN_BYTES, "pass");
  if (isOuter) {
    asm.load(Size.U16, Reg.R0, LAYER3, 0).be16(Reg.R0).aluImm(Alu.And, Reg.R0, VLAN_ID_MASK);
    asm.store(Size.U32, FP, VLAN_ID, Reg.R0);
  }
  asm.load(Size.U16, TYPE, LAYER3, 2).be16(TYPE).aluImm(Alu.Add, LAYER3, VLAN_BYTES);
}

function copyWords(asm: BpfAssembler, to: number, from: number, words: number): void {
  for (let n = 0; n < words; n++) {
    asm.load(Size.U32, Reg.R0, LAYER3, from + 4 * n).store(Size.U32, FP, to + 4 * n, Reg.R0);
  }
}

/** Leaves the protocol in r0 and the place of its header in the layer-3 register. */
function writeIpv4(asm: BpfAssembler): void {
  checkBytes(asm, LAYER3, IPV4_BYTES, "rule 0");
  copyWords(asm, SRC, 12, 1);
  copyWords(asm, DST, 16, 1);
  asm.load(Size.U16, Reg.R0, LAYER3, 6).be16(Reg.R0).aluImm(Alu.And, Reg.R0, FRAGMENT_BITS);
  asm.jumpImm(Jmp.Ne, Reg.R0, 0, "rule 0");
  asm.load(Size.U8, Reg.R1, LAYER3, 0).aluImm(Alu.And, Reg.R1, 15).aluImm(Alu.Lsh, Reg.R1, 2);
  asm.jumpImm(Jmp.Lt, Reg.R1, IPV4_BYTES, "rule 0");
  asm.load(Size.U8, Reg.R0, LAYER3, 9).aluReg(Alu.Add, LAYER3, Reg.R1).jump("layer 4");
}

function writeIpv6(asm: BpfAssembler): void {
  asm.label("ipv6");
  checkBytes(asm, LAYER3, IPV6_BYTES, "rule 0");
  copyWords(asm, SRC, 8, 4);
  copyWords(asm, DST, 24, 4);
  asm.load(Size.U8, Reg.R0, LAYER3, 6).aluImm(Alu.Add, LAYER3, IPV6_BYTES);
}

function writePorts(asm: BpfAssembler): void {
  asm.label("layer 4").store(Size.U32, FP, PROTOCOL, Reg.R0);
  asm.jumpImm(Jmp.Eq, Reg.R0, TCP, "ports").jumpImm(Jmp.Ne, Reg.R0, UDP, "rule 0").label("ports");
  checkBytes(asm, LAYER3, PORTS_BYTES, "rule 0");
  asm.load(Size.U16, Reg.R0, LAYER3, 0).be16(Reg.R0).store(Size.U32, FP, SRC_PORT, Reg.R0);
  asm.load(Size.U16, Reg.R0, LAYER3, 2).be16(Reg.R0).store(Size.U32, FP, DST_PORT, Reg.R0);
}

/** Jumps to "take" when everything that the rule says is true, else falls through to `next`. */
function writeRule(asm: BpfAssembler, rule: CompiledRule, next: string): void {
  const compare = (at: number, value: number | null): void => {
    if (value !== null) asm.load(Size.U32, Reg.R0, FP, at).jumpImm(Jmp.Ne, Reg.R0, value, next);
  };
  compare(ETHER_TYPE, rule.etherType);
  compare(VLAN_ID, rule.vlanId);
  compare(PROTOCOL, rule.protocol);
  compare(SRC_PORT, rule.srcPort);
  compare(DST_PORT, rule.dstPort);
  for (const [n, word] of rule.src.entries()) compare(SRC + 4 * n, word);
  for (const [n, word] of rule.dst.entries()) compare(DST + 4 * n, word);
  asm.jump("take").label(next);
}

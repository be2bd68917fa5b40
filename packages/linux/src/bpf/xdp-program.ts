import { checkInt, NetmemError } from "@netmem/core";
import { Errno } from "../errno.ts";
import type { System } from "../system.ts";
import { ATTACH_XDP, BpfCommand, bpfName, PROG_TYPE_XDP, PROG_XDP_HAS_FRAGS, TEST_XDP_LIVE_FRAMES } from "./bpf-abi.ts";
import { BpfAttr } from "./bpf-attr.ts";
import { INSN_BYTES, XDP_MD_DATA_END } from "./opcodes.ts";

const LOG_BYTES = 256 * 1024;
/** Lines of the verifier's log that go into the message; the last ones say what is wrong. */
const LOG_LINES = 12;
/** How often signals may interrupt the verifier, and a run. */
const LOAD_ATTEMPTS = 5;
const RUN_ATTEMPTS = 100;
const LICENSE = "Dual MIT/GPL";
/** `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. */
const XDP_MD_BYTES = 24;
const XDP_MD_INGRESS_IFINDEX = 12;
const MAX_TEST_OUTPUT_BYTES = 65536;
const MAX_LIVE_BATCH = 256;
/** As much of `struct bpf_prog_info` as ends with the name. */
const PROG_INFO_BYTES = 80;
const PROG_INFO_NAME = 64;

export interface XdpProgramParams {
  /** What an assembler made. */
  readonly insns: Uint8Array;
  readonly name?: string;
  /** The program may meet packets of several buffers: needed for an MTU beyond a page, and for AF_XDP with fragments. */
  readonly frags?: boolean;
}

/** What one test run answered. */
export interface XdpTestResult {
  /** The program's answer, see `XdpAction`. */
  readonly action: number;
  /** The packet as the program left it. */
  readonly packet: Uint8Array;
  /** Mean time of a run. */
  readonly durationNs: number;
}

export interface LiveFramesParams {
  /** Interface that the frames seem to come from; a program that answers TX sends them out of it. */
  readonly ifindex: number;
  /** Frames to make, from 1. */
  readonly count: number;
  /** Frames at a time, 1 to 256. Default 64. */
  readonly batch?: number;
}

/** An XDP program in the kernel, checked by its verifier. It lives as long as this object or an attachment has it. */
export class XdpProgram {
  readonly fd: number;
  private readonly system: System;
  private isOpen = true;

  /** @internal Use {@link loadXdpProgram}. */
  constructor(system: System, fd: number) {
    this.system = system;
    this.fd = fd;
  }

  /**
   * Runs the program on a packet, without any interface; with `repeat` several times, for its duration.
   * @throws {@link SystemCallError}: EINVAL for a packet below 14 bytes, EINTR when signals interrupted it 100 times
   */
  testRun(packet: Uint8Array, repeat = 1): XdpTestResult {
    const attr = new BpfAttr(this.system).u32(0, this.openFd).u32(8, packet.length).u32(12, MAX_TEST_OUTPUT_BYTES);
    attr.pointTo(16, packet);
    const output = attr.room(24, MAX_TEST_OUTPUT_BYTES);
    attr.u32(32, checkInt("repeat", repeat, 1, 2 ** 31 - 1));
    this.system.check("bpf PROG_TEST_RUN", runUninterrupted(attr), { action: "test an XDP program" });
    return { action: attr.getU32(4), packet: output.u8.slice(0, attr.getU32(12)), durationNs: attr.getU32(36) };
  }

  /**
   * Makes real frames of a packet and does with each what the program answers: a packet generator, about two million
   * frames a second and core. Blocks until all are made, and some 20 ms more, in which the kernel makes and destroys the
   * page pool of the call. An interface that gets them by TX needs a poll of its own: on
   * veth an XDP program or GRO on the peer. A signal ends a run of the kernel's somewhere, and the call makes all frames
   * again: then there are more than `count`.
   *
   * @throws {@link SystemCallError}: EINVAL for a kernel before 5.18, ENODEV, EINTR when signals interrupted it 100 times
   */
  runLive(packet: Uint8Array, { ifindex, count, batch = 64 }: LiveFramesParams): void {
    const attr = new BpfAttr(this.system).u32(0, this.openFd).u32(8, packet.length);
    attr.pointTo(16, packet);
    attr.u32(32, checkInt("count", count, 1, 2 ** 31 - 1)).u32(40, XDP_MD_BYTES);
    const context = attr.room(48, XDP_MD_BYTES);
    context.view.setUint32(XDP_MD_DATA_END, packet.length, true);
    context.view.setUint32(XDP_MD_INGRESS_IFINDEX, ifindex, true);
    attr.u32(64, TEST_XDP_LIVE_FRAMES).u32(72, checkInt("batch", batch, 1, MAX_LIVE_BATCH));
    const result = runUninterrupted(attr);
    this.system.check("bpf PROG_TEST_RUN", result, { action: "make live frames", param: "ifindex", value: ifindex });
  }

  /** Gives the descriptor back; an attachment keeps the program alive. Once is enough. */
  close(): void {
    if (this.isOpen) this.system.close(this.fd);
    this.isOpen = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The kernel's EBADF for a program that is closed: its number may be another's by now. */
  private get openFd(): number {
    return this.isOpen ? this.fd : -1;
  }
}

/** A signal stops a run and is not an error of the caller's. */
function runUninterrupted(attr: BpfAttr): number {
  let result = attr.call(BpfCommand.ProgTestRun);
  for (let n = 1; n < RUN_ATTEMPTS && result === -Errno.EINTR; n++) result = attr.call(BpfCommand.ProgTestRun);
  return result;
}

/** The verifier stops when the thread has a signal to handle: a child that ended is enough. */
function loadUninterrupted(attr: BpfAttr): number {
  let result = attr.call(BpfCommand.ProgLoad);
  for (let n = 1; n < LOAD_ATTEMPTS && result === -Errno.EAGAIN; n++) result = attr.call(BpfCommand.ProgLoad);
  return result;
}

function loadAttr(system: System, params: XdpProgramParams): BpfAttr {
  const attr = new BpfAttr(system).u32(0, PROG_TYPE_XDP).u32(4, params.insns.length / INSN_BYTES);
  attr.pointTo(8, params.insns);
  attr.pointToText(16, LICENSE);
  attr.u32(44, params.frags === true ? PROG_XDP_HAS_FRAGS : 0);
  return attr.bytes(48, bpfName(params.name ?? "netmem")).u32(68, ATTACH_XDP);
}

/**
 * Loads a program.
 * @throws `ERR_NETMEM_BPF_REJECTED` with the end of the verifier's log in its message and the whole log as `cause`,
 * {@link SystemCallError}: EPERM without CAP_BPF and CAP_NET_ADMIN, EAGAIN when signals interrupted it five times
 */
export function loadXdpProgram(system: System, params: XdpProgramParams): XdpProgram {
  checkInt("insns.length", params.insns.length, INSN_BYTES, 2 ** 20);
  const fd = loadUninterrupted(loadAttr(system, params));
  if (fd === -Errno.EINVAL || fd === -Errno.EACCES) failRejected(system, params);
  return new XdpProgram(system, system.check("bpf PROG_LOAD", fd, { action: "load an XDP program" }));
}

/** Loads once more, with a log. */
function failRejected(system: System, params: XdpProgramParams): never {
  const attr = loadAttr(system, params).u32(24, 1).u32(28, LOG_BYTES);
  const log = attr.room(32, LOG_BYTES);
  const result = loadUninterrupted(attr);
  if (result >= 0) system.close(result);
  const end = log.u8.indexOf(0);
  const text = new TextDecoder().decode(log.u8.slice(0, end < 0 ? log.u8.length : end)).trim();
  throw new NetmemError({
    code: "ERR_NETMEM_BPF_REJECTED",
    errno: "EINVAL",
    reason: `the kernel's verifier refuses the program:\n${text.split("\n").slice(-LOG_LINES).join("\n")}\n`,
    remedy: "Correct the program; the whole log is in `cause`.",
    param: "insns",
    value: params.name,
    cause: text,
  });
}

/** Name of the program with that identifier, empty when it has none, is gone, or we may not look (CAP_SYS_ADMIN). */
export function xdpProgramName(system: System, programId: number): string {
  const fd = new BpfAttr(system).u32(0, programId).call(BpfCommand.ProgGetFdById);
  if (fd < 0) return "";
  const attr = new BpfAttr(system).u32(0, fd).u32(4, PROG_INFO_BYTES);
  const info = attr.room(8, PROG_INFO_BYTES);
  const result = attr.call(BpfCommand.ObjGetInfoByFd);
  system.close(fd);
  if (result < 0) return "";
  const name = info.u8.subarray(PROG_INFO_NAME, PROG_INFO_NAME + 16);
  return new TextDecoder().decode(name).replace(/\0.*$/s, "");
}

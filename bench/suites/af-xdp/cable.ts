import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { startGenerator } from "@netmem-examples/af-xdp-stand";
import {
  Alu,
  attachXdp,
  BpfAssembler,
  loadXdpProgram,
  openSystem,
  probeLinux,
  Reg,
  type System,
  XdpAction,
} from "@netmem/linux";
import { createTestnet, type Testnet } from "@netmem/linux/testnet";
import { AbsentError } from "../../suite.ts";

export const FRAME_BYTES = 64;
/** Frames in one call of the sender: half a second's worth, because it pauses for 20 ms between calls. */
const BURST = 1_000_000;

/** A cable between two namespaces. What arrives at the far end is dropped there, in the driver. */
export interface Cable {
  readonly system: System;
  readonly net: Testnet;
  close(): Promise<void>;
}

/** Lays it; with a thread that sends from the far end as fast as it can, if asked for. */
export function layCable(isSending: boolean): Cable {
  const report = probeLinux();
  const needs = [report.systemCalls, report.afXdp, report.bpf, report.xdpAttach, report.netNamespaces];
  const missing = needs.find(({ available }) => !available);
  if (missing !== undefined) throw new AbsentError(missing.reason);
  const system = openSystem();
  const net = createTestnet(system);
  const { namespace, link } = net.far;
  const insns = new BpfAssembler().aluImm(Alu.Mov, Reg.R0, XdpAction.Drop).exit().assemble();
  const program = loadXdpProgram(system, { insns, name: "bench_drop" });
  const attached = namespace.run(() => attachXdp(system, { program, ifindex: link.ifindex, mode: "native" }));
  const stopSending = isSending ? startGenerator(net.far, new Uint8Array(FRAME_BYTES), BURST) : null;
  pinApart();
  const close = async (): Promise<void> => {
    await stopSending?.();
    attached.detach();
    program.close();
    net.close();
  };
  return { system, net, close };
}

/**
 * This thread, and what it starts, on the last CPU, the sender and all other threads of the process on the first: where
 * the scheduler puts two busy threads would decide the row.
 */
function pinApart(): void {
  const last = availableParallelism() - 1;
  if (last < 1) return;
  for (const tid of readdirSync("/proc/self/task")) {
    execFileSync("taskset", ["-pc", tid === String(process.pid) ? String(last) : "0", tid], { stdio: "ignore" });
  }
}

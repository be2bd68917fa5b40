/* A thread in the far namespace. The kernel makes the frames: an XDP program that answers TX is run over and over. */
import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Alu, BpfAssembler, loadXdpProgram, openSystem, Reg, XdpAction } from "@netmem/linux";
import type { GeneratorData } from "./generator.ts";

const { ifindex, frame, burst } = workerData as GeneratorData;
const insns = new BpfAssembler().aluImm(Alu.Mov, Reg.R0, XdpAction.Tx).exit().assemble();
const program = loadXdpProgram(openSystem(), { insns, name: "generator" });
const stopped = new AbortController();
parentPort?.on("message", () => stopped.abort());
while (!stopped.signal.aborted) {
  program.runLive(frame, { ifindex, count: burst });
  await setImmediate();
}
program.close();
parentPort?.close();

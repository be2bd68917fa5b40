/* Sends 60-byte frames out of the interface with the index given, as fast as the kernel makes them, until killed. */
import { Alu, BpfAssembler, loadXdpProgram, openSystem, Reg, XdpAction } from "@netmem/linux";

const insns = new BpfAssembler().aluImm(Alu.Mov, Reg.R0, XdpAction.Tx).exit().assemble();
const program = loadXdpProgram(openSystem(), { insns, name: "generator" });
for (;;) program.runLive(new Uint8Array(60), { ifindex: Number(process.argv[2]), count: 1_000_000 });

/* Two namespaces, a cable, a device that echoes, and traffic until somebody kills us. Prints where the namespaces are. */
import { BpfAssembler, loadXdpProgram, XdpAction } from "@netmem/linux";
import { XdpVerdict } from "@netmem/netdev";
import { RxLoop } from "../../src/index.ts";
import { makeStand } from "../fixture.ts";

const { device, net, system, afXdp, scheduler, drivers } = makeStand({ testnet: { queues: 2 } });
device.setProgram(() => XdpVerdict.Tx);
device.open();
const loop = new RxLoop(afXdp, scheduler, drivers);
const insns = new BpfAssembler().aluImm(0xb0, 0, XdpAction.Tx).exit().assemble();
const generator = loadXdpProgram(system, { insns });
const frame = new Uint8Array(60);
let hasSaid = false;
for (;;) {
  net.far.namespace.run(() => generator.runLive(frame, { ifindex: net.far.link.ifindex, count: 64 }));
  for (let n = 0; n < 20; n++) loop.spinOnce();
  if (hasSaid || device.getStats()[0]!.txPackets + device.getStats()[1]!.txPackets < 1000) continue;
  hasSaid = true;
  console.log(
    JSON.stringify({ near: net.near.namespace.path, far: net.far.namespace.path, ifindex: net.near.link.ifindex }),
  );
}

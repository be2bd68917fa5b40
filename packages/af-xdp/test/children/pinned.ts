/* In a mount namespace of its own, with a bpf file system at the folder given: a port that joins a pinned map. */
import { attachXdp, BpfMapType, compileXdpFilter, createBpfMap, loadXdpProgram } from "@netmem/linux";
import { XdpVerdict } from "@netmem/netdev";
import { makeDevice, makeStand, pollAll } from "../fixture.ts";
import { PacketSocket } from "../packet-socket.ts";

const path = `${process.argv[2]}/xsks`;
const stand = makeStand({ port: { program: "none" } });
const { system, net, afXdp, scheduler } = stand;
const { namespace, link } = net.near;
const map = createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: 1 });
const program = loadXdpProgram(system, { insns: compileXdpFilter(map.fd, []) });
const attached = namespace.run(() => attachXdp(system, { program, ifindex: link.ifindex }));
map.pin(path);
map.close();
const port = afXdp.openPort({ ifname: link.name, namespace, program: { map: path } });
const { device } = makeDevice(stand, port, "joined");
device.setProgram(() => XdpVerdict.Drop);
device.open();
const far = new PacketSocket(system, net.far);
far.send(new Uint8Array(60));
pollAll(scheduler, device);
console.log(JSON.stringify({ packets: device.getStats()[0]?.rxPackets, mode: port.report().xdpMode }));
device.close();
port.close();
far.close();
attached.detach();
stand.close();

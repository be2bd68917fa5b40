/* XDP programs on interfaces of our own, and the packet generator. */
import { expect } from "vitest";
import {
  Alu,
  attachXdp,
  BpfAssembler,
  loadXdpProgram,
  NETLINK_ROUTE,
  NetlinkSocket,
  readInterface,
  Reg,
  type System,
  XdpAction,
  type XdpMode,
  type XdpProgram,
  xdpProgramName,
} from "../../src/index.ts";
import { createTestnet, type Testnet } from "../../src/testnet/index.ts";
import { linuxTest } from "../linux-needs.ts";

function withNet(system: System, work: (net: Testnet) => void): void {
  const net = createTestnet(system);
  try {
    work(net);
  } finally {
    net.close();
  }
}

/** A program that answers the same for every packet. */
function answering(system: System, action: XdpAction, name: string): XdpProgram {
  return loadXdpProgram(system, { insns: new BpfAssembler().aluImm(Alu.Mov, Reg.R0, action).exit().assemble(), name });
}

linuxTest("a program is attached natively, and what has one is left alone", ["bpf", "netNamespaces"], (system) => {
  withNet(system, ({ near: { namespace, link } }) => {
    using route = namespace.run(() => new NetlinkSocket(system, NETLINK_ROUTE));
    using program = answering(system, XdpAction.Pass, "first");
    const { ifindex } = link;
    const attach = (mode: XdpMode | "auto"): ReturnType<typeof attachXdp> =>
      namespace.run(() => attachXdp(system, { program, ifindex, mode }));
    const attached = attach("auto");
    expect([attached.mode, attached.whyNotNative]).toEqual(["native", ""]);
    const { xdp } = readInterface(route, ifindex);
    expect([xdp?.mode, xdpProgramName(system, xdp?.programId ?? 0)]).toEqual(["native", "first"]);
    for (const mode of ["auto", "native", "skb"] as const) {
      expect(() => attach(mode)).toThrow(/ERR_NETMEM_XDP_ATTACHED/);
    }
    attached.detach();
    attached.detach();
    expect(readInterface(route, ifindex).xdp).toBeNull();
    using again = attach("skb");
    expect([again.mode, readInterface(route, ifindex).xdp?.mode]).toEqual(["skb", "skb"]);
  });
});

linuxTest("where the driver cannot, it runs behind it and says why", ["bpf", "netNamespaces"], (system) => {
  withNet(system, ({ near: { namespace } }) => {
    using program = answering(system, XdpAction.Pass, "loopback");
    const attach = (mode: XdpMode | "auto"): ReturnType<typeof attachXdp> =>
      namespace.run(() => attachXdp(system, { program, ifindex: 1, mode }));
    expect(() => attach("native")).toThrow(/attach an XDP program \(native\) to interface 1: .*EOPNOTSUPP/);
    using attached = attach("auto");
    expect([attached.mode, attached.whyNotNative]).toEqual(["skb", "the driver refuses an XDP program: EOPNOTSUPP"]);
  });
});

linuxTest("live frames are as many as asked for", ["bpf", "netNamespaces"], (system) => {
  withNet(system, ({ near, far }) => {
    using drop = answering(system, XdpAction.Drop, "drop");
    using send = answering(system, XdpAction.Tx, "generator");
    const received = (): bigint => near.namespace.run(() => readDropped(system, near.link.ifindex));
    using _attached = near.namespace.run(() =>
      attachXdp(system, { program: drop, ifindex: near.link.ifindex, mode: "native" }),
    );
    const before = received();
    far.namespace.run(() => send.runLive(new Uint8Array(60), { ifindex: far.link.ifindex, count: 1000, batch: 32 }));
    expect(received() - before).toBe(1000n);
    expect(() => send.runLive(new Uint8Array(60), { ifindex: 9999, count: 1 })).toThrow(/make live frames/);
  });
});

/** Packets that the interface received, from its 64-bit statistics (IFLA_STATS64, the first number). */
function readDropped(system: System, ifindex: number): bigint {
  const IFLA_STATS64 = 23;
  using socket = new NetlinkSocket(system, NETLINK_ROUTE);
  const header = new Uint8Array(16);
  new DataView(header.buffer).setUint32(4, ifindex, true);
  const [answer] = socket.request("RTM_GETLINK", 18, 0, header);
  const payload = answer?.payload ?? header;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  for (let at = 16; at < payload.length; at += (view.getUint16(at, true) + 3) & ~3) {
    if (view.getUint16(at + 2, true) === IFLA_STATS64) return view.getBigUint64(at + 4, true);
  }
  throw new Error("no statistics");
}

/* What the kernel answers about a cable of our own. */
import { expect } from "vitest";
import {
  defaultRouteInterfaces,
  Genetlink,
  NETLINK_ROUTE,
  NetdevFamily,
  NetlinkSocket,
  readChannels,
  readInterface,
  setChannels,
  type System,
  XdpFeature,
} from "../../src/index.ts";
import { createTestnet, type Testnet } from "../../src/testnet/index.ts";
import { linuxTest } from "../linux-needs.ts";

interface Near {
  readonly net: Testnet;
  readonly ifindex: number;
  readonly genetlink: Genetlink;
  readonly route: NetlinkSocket;
}

function near(system: System, work: (near: Near) => void): void {
  const net = createTestnet(system, { queues: 2, mtuBytes: 1400, near: { ips: ["10.0.0.1/24"] } });
  const { namespace, link } = net.near;
  const genetlink = namespace.run(() => new Genetlink(system));
  const route = namespace.run(() => new NetlinkSocket(system, NETLINK_ROUTE));
  try {
    work({ net, ifindex: link.ifindex, genetlink, route });
  } finally {
    genetlink.close();
    route.close();
    net.close();
  }
}

linuxTest("features, queues and poll instances of a veth", ["netNamespaces"], (system) => {
  near(system, ({ ifindex, genetlink }) => {
    const family = new NetdevFamily(genetlink);
    const device = family.device(ifindex);
    const basics = XdpFeature.Basic | XdpFeature.Redirect;
    expect([device.ifindex, device.xdpFeatures & basics]).toEqual([ifindex, basics]);
    expect(device.xdpFeatures & XdpFeature.XskZeroCopy).toBe(0);
    const { items, missing } = family.queues(ifindex);
    if (missing !== null) return;
    const queues = items.map(({ type, id, xsk, provider }) => `${type} ${id} ${xsk} ${provider}`).sort();
    expect(queues).toEqual(["rx 0 false null", "rx 1 false null", "tx 0 false null", "tx 1 false null"]);
    expect(family.napis(ifindex).items.every((napi) => napi.ifindex === ifindex)).toBe(true);
    expect(family.pagePools().items.every(({ id }) => id > 0)).toBe(true);
  });
});

linuxTest("channels are read and set", ["netNamespaces"], (system) => {
  near(system, ({ ifindex, genetlink }) => {
    expect(readChannels(genetlink, ifindex)).toEqual({ rx: 2, tx: 2, combined: 0, max: { rx: 2, tx: 2, combined: 0 } });
    setChannels(genetlink, ifindex, { rx: 1, tx: 1 });
    expect(readChannels(genetlink, ifindex)).toMatchObject({ rx: 1, tx: 1 });
    expect(() => setChannels(genetlink, ifindex, { rx: 3 })).toThrow(/ETHTOOL_MSG_CHANNELS_SET.*EINVAL/);
  });
});

linuxTest(
  "an interface says what it is; one that is not there is an error with a name",
  ["netNamespaces"],
  (system) => {
    near(system, ({ net, ifindex, route, genetlink }) => {
      expect(readInterface(route, ifindex)).toEqual({
        ifindex,
        name: net.near.link.name,
        mtu: 1400,
        isUp: true,
        macAddress: Uint8Array.of(2, 0, 0, 0, 0, 1),
        xdp: null,
      });
      expect(defaultRouteInterfaces(route)).toEqual([]);
      expect(() => readInterface(route, 9999)).toThrow(/RTM_GETLINK.*ENODEV/);
      expect(() => new NetdevFamily(genetlink).device(9999)).toThrow(/NETDEV_CMD_DEV_GET.*ENODEV/);
      expect(() => genetlink.request({ family: "no such family", command: 1, name: "X" })).toThrow(/ENOENT/);
    });
  },
);

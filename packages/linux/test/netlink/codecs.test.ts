/* Messages made by hand: what this machine's kernel happens not to have must be read right, too. */
import { describe, expect, test } from "vitest";
import { interfacesOf } from "../../src/netlink/default-route.ts";
import { parseChannels } from "../../src/netlink/ethtool-channels.ts";
import {
  parseDevice,
  parsePagePool,
  parsePagePoolStats,
  parseQueue,
  XdpFeature,
} from "../../src/netlink/netdev-family.ts";
import { parseInterface } from "../../src/netlink/xdp-attachment.ts";
import { NetlinkWriter, readAttributes } from "../../src/netlink-attributes.ts";

const attrs = (write: (writer: NetlinkWriter) => unknown): ReturnType<typeof readAttributes> => {
  const writer = new NetlinkWriter();
  write(writer);
  return readAttributes(writer.finish());
};
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

describe("netdev family", () => {
  test("a device that can do zero copy", () => {
    const device = parseDevice(attrs((w) => w.u32(1, 7).bytesAttr(3, u64(43n)).u32(4, 1).bytesAttr(6, u64(3n))));
    expect(device).toEqual({ ifindex: 7, xdpFeatures: 43, zcMaxSegs: 1, rxMetadata: 0, xskFeatures: 3 });
    expect(device.xdpFeatures & XdpFeature.XskZeroCopy).toBe(8);
  });

  test("queues: a bound socket is an empty nest, a provider a full one", () => {
    expect(
      parseQueue(
        attrs((w) =>
          w
            .u32(1, 3)
            .u32(2, 9)
            .u32(3, 0)
            .u32(4, 8193)
            .nested(7, () => {}),
        ),
      ),
    ).toEqual({
      id: 3,
      ifindex: 9,
      type: "rx",
      napiId: 8193,
      xsk: true,
      provider: null,
    });
    expect(parseQueue(attrs((w) => w.u32(1, 0).u32(2, 9).u32(3, 1).u32(5, 77)))).toMatchObject({
      type: "tx",
      xsk: false,
      provider: "dma-buf",
    });
    expect(parseQueue(attrs((w) => w.u32(1, 0).nested(6, () => {}))).provider).toBe("io_uring");
  });

  test("a page pool that was destroyed with pages outside, its counters in 4 or 8 bytes", () => {
    const pool = attrs((w) => w.u32(1, 12).u32(2, 5).u32(4, 3).bytesAttr(5, u64(12288n)).u32(6, 99));
    expect(parsePagePool(pool)).toEqual({
      id: 12,
      ifindex: 5,
      napiId: 0,
      inflight: 3,
      inflightBytes: 12288,
      detachTimeS: 99,
      provider: null,
    });
    expect(parsePagePool(attrs((w) => w.u32(1, 1))).detachTimeS).toBeNull();
  });

  test("page pool statistics, all eleven in the kernel's order", () => {
    const stats = attrs((w) => {
      w.nested(1, (inside) => inside.u32(1, 12));
      for (let n = 0; n < 11; n++) w.bytesAttr(8 + n, u64(BigInt(100 + n)));
    });
    expect(parsePagePoolStats(stats)).toEqual({
      poolId: 12,
      allocFast: 100,
      allocSlow: 101,
      allocSlowHighOrder: 102,
      allocEmpty: 103,
      allocRefill: 104,
      allocWaive: 105,
      recycleCached: 106,
      recycleCacheFull: 107,
      recycleRing: 108,
      recycleRingFull: 109,
      recycleReleasedRefcnt: 110,
    });
  });
});

test("channels: what is left out is 0", () => {
  expect(
    parseChannels(
      attrs((w) =>
        w
          .nested(1, (inside) => inside.u32(1, 4))
          .u32(5, 8)
          .u32(9, 2),
      ),
    ),
  ).toEqual({
    rx: 0,
    tx: 0,
    combined: 2,
    max: { rx: 0, tx: 0, combined: 8 },
  });
});

describe("default routes", () => {
  const route = (bits: number, type: number, write: (writer: NetlinkWriter) => unknown): Uint8Array => {
    const writer = new NetlinkWriter().raw(Uint8Array.of(2, bits, 0, 0, 254, 3, 0, type, 0, 0, 0, 0));
    write(writer);
    return writer.finish();
  };
  const hop = (ifindex: number, tail: readonly number[]): number[] => [
    8 + tail.length,
    0,
    0,
    0,
    ifindex,
    0,
    0,
    0,
    ...tail,
  ];

  test("one interface, or several by weight; gateways in between are skipped", () => {
    expect(interfacesOf(route(0, 1, (w) => w.u32(5, 0x0100000a).u32(4, 2)))).toEqual([2]);
    const gateway = [8, 0, 5, 0, 10, 0, 0, 1];
    const hops = Uint8Array.from([...hop(3, gateway), ...hop(4, [])]);
    expect(interfacesOf(route(0, 1, (w) => w.bytesAttr(9, hops)))).toEqual([3, 4]);
  });

  test("other routes do not count, nor does one that leads nowhere", () => {
    expect(interfacesOf(route(24, 1, (w) => w.u32(4, 2)))).toEqual([]);
    expect(interfacesOf(route(0, 7, (w) => w.u32(4, 2)))).toEqual([]);
    expect(interfacesOf(route(0, 1, (w) => w.bytesAttr(9, new Uint8Array(8))))).toEqual([0]);
  });
});

describe("an interface's XDP program", () => {
  const link = (write: (writer: NetlinkWriter) => unknown): Uint8Array => {
    const header = new Uint8Array(16);
    new DataView(header.buffer).setUint32(4, 6, true);
    header[8] = 1;
    const writer = new NetlinkWriter()
      .raw(header)
      .string(3, "eth9")
      .u32(4, 9000)
      .bytesAttr(1, Uint8Array.of(2, 0, 0, 0, 0, 1));
    write(writer);
    return writer.finish();
  };

  test("none", () => {
    expect(parseInterface(link((w) => w.nested(43, (inside) => inside.u8(2, 0))))).toEqual({
      ifindex: 6,
      name: "eth9",
      mtu: 9000,
      isUp: true,
      macAddress: Uint8Array.of(2, 0, 0, 0, 0, 1),
      xdp: null,
    });
  });

  test("one in the driver; one on each level", () => {
    const native = link((w) => w.nested(43, (inside) => inside.u8(2, 1).u32(4, 55).u32(5, 55)));
    expect(parseInterface(native).xdp).toEqual({ mode: "native", programId: 55 });
    const multi = link((w) => w.nested(43, (inside) => inside.u8(2, 4).u32(5, 7).u32(6, 8)));
    expect(parseInterface(multi).xdp).toEqual({ mode: "multi", programId: 7 });
  });
});

import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { DeviceRegistry, NapiScheduler, NetDevice } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { SkbSlab } from "@netmem/skb";
import { buildPacket, fillPattern, ipv4Address, macAddress, type PacketSpec, VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { createEcho } from "./echo.ts";

/** Ethernet, IPv4 without options, UDP. */
export const HEADER_BYTES = 42;
/** Where the service is: what goes to other ports is not answered. */
export const ECHO_PORT = 7;

export interface Stand {
  readonly clock: VirtualClock;
  readonly nic: SimNic;
  readonly device: NetDevice;
  readonly scheduler: NapiScheduler;
  readonly skbs: SkbSlab;
  /** Called with each frame that was sent; the bytes are valid until it returns. */
  onSent: (bytes: Uint8Array) => void;
}

/** One NIC with one queue of page_pool memory and the echo program on it; the device is open. */
export function makeStand(): Stand {
  const clock = new VirtualClock();
  const host = createHost({ arenaBytes: 32 * 2 ** 20, clock });
  const nic = new SimNic(host, { queueCount: 1, rxDescCount: 256, txDescCount: 256 });
  const scheduler = new NapiScheduler(host);
  const skbs = new SkbSlab(host, { skbCount: 64 });
  const device = new NetDevice({ host, registry: new DeviceRegistry(), scheduler, skbs, name: "sim0" });
  device.addQueue({ driver: (queue) => new PagePoolDriver(host, queue, nic.queue(0)) });
  device.setProgram(createEcho(host.u8, ECHO_PORT));
  const stand: Stand = { clock, nic, device, scheduler, skbs, onSent: () => {} };
  nic.setWire((bytes, offsets, lengths, count) => {
    for (let n = 0; n < count; n++) stand.onSent(bytes.subarray(offsets[n], offsets[n]! + lengths[n]!));
  });
  device.open();
  return stand;
}

/** Who sends and who receives a packet. */
interface Direction {
  readonly srcMac: Uint8Array;
  readonly dstMac: Uint8Array;
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly srcPort: number;
  readonly dstPort: number;
}

const client = { mac: macAddress("02:00:00:00:00:01"), ip: ipv4Address("10.0.0.1"), port: 4000 };
const server = { mac: macAddress("02:00:00:00:00:02"), ip: ipv4Address("10.0.0.2") };

function write(bytes: Uint8Array, way: Direction, n: number, payloadBytes: number): number {
  const frameBytes = HEADER_BYTES + payloadBytes;
  const spec: PacketSpec = {
    ethernet: { srcMac: way.srcMac, dstMac: way.dstMac },
    network: { kind: "ipv4", src: way.src, dst: way.dst },
    transport: { kind: "udp", srcPort: way.srcPort, dstPort: way.dstPort },
    frameBytes,
  };
  buildPacket(bytes, 0, spec);
  fillPattern(bytes, HEADER_BYTES, payloadBytes, n);
  return frameBytes;
}

/** Writes packet `n` of a client to `bytes`, and returns its length. */
export function writeRequest(bytes: Uint8Array, n: number, payloadBytes: number, dstPort: number = ECHO_PORT): number {
  const { mac, ip, port } = client;
  const way = { srcMac: mac, dstMac: server.mac, src: ip, dst: server.ip, srcPort: port, dstPort };
  return write(bytes, way, n, payloadBytes);
}

/** The answer that it must get: the same bytes the other way. */
export function writeAnswer(bytes: Uint8Array, n: number, payloadBytes: number): number {
  const { mac, ip, port } = client;
  const way = { srcMac: server.mac, dstMac: mac, src: server.ip, dst: ip, srcPort: ECHO_PORT, dstPort: port };
  return write(bytes, way, n, payloadBytes);
}

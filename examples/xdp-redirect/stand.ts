import type { Host } from "@netmem/core";
import { DeviceRegistry, DevMap, NapiScheduler, NetDevice, XdpVerdict } from "@netmem/netdev";
import { SimNic } from "@netmem/sim-nic";
import { SkbSlab, type XdpBuff } from "@netmem/skb";
import { buildPacket, fillPattern, ipv4Address, macAddress, type PacketSpec, VirtualClock } from "@netmem/testing";
import { createHost } from "netmem";
import { MixedDriver, type MixedDriverParams } from "./mixed-driver.ts";

/** Ethernet, IPv4 without options, UDP. */
export const HEADER_BYTES = 42;
/** Networks 10.0.n.0/24, n below this, have a place in the map. */
const NETWORKS = 4;
const SRC_MAC_AT = 6;
const NETWORK_AT = 32;

const NEXT_HOP = macAddress("02:00:00:00:00:99");
const OWN = macAddress("02:00:00:00:00:42");

/** A NIC, the device in front of it, and the frames that came out of its wire. */
export interface Port {
  readonly nic: SimNic;
  readonly device: NetDevice;
  readonly driver: MixedDriver;
  /** Called with each frame that was sent; the bytes are valid until it returns. */
  onSent: (bytes: Uint8Array) => void;
}

export interface Stand {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly scheduler: NapiScheduler;
  readonly skbs: SkbSlab;
  /** Where 10.0.0.0/24 and 10.0.1.0/24 are. */
  readonly ports: readonly [Port, Port];
  readonly map: DevMap;
  /** Free pages while the devices are closed. */
  readonly freePages: number;
}

/** Two ports and the program between them; the devices are open. */
export function makeStand(params: MixedDriverParams = {}): Stand {
  const clock = new VirtualClock();
  const host = createHost({ arenaBytes: 32 * 2 ** 20, clock });
  const registry = new DeviceRegistry();
  const scheduler = new NapiScheduler(host);
  const skbs = new SkbSlab(host, { skbCount: 64 });
  const map = new DevMap(NETWORKS);
  const makePort = (name: string, network: number): Port => {
    const nic = new SimNic(host, { queueCount: 1, rxDescCount: 512, txDescCount: 512 });
    const device = new NetDevice({ host, registry, scheduler, skbs, name });
    const made: MixedDriver[] = [];
    device.addQueue({
      driver: (queue) => {
        const driver = new MixedDriver(host, queue, nic.queue(0), params);
        made.push(driver);
        return driver;
      },
    });
    const port: Port = { nic, device, driver: made[0]!, onSent: () => {} };
    nic.setWire((bytes, offsets, lengths, count) => {
      for (let n = 0; n < count; n++) port.onSent(bytes.subarray(offsets[n], offsets[n]! + lengths[n]!));
    });
    map.set(network, device.ifindex);
    device.setProgram((xdp) => forward(host.u8, map, xdp));
    return port;
  };
  const ports = [makePort("left", 0), makePort("right", 1)] as const;
  // Once for nothing: what devices keep while they are closed is allocated then.
  for (const { device } of ports) device.open();
  closePorts(ports, clock);
  const freePages = host.pages.freePageCount();
  for (const { device } of ports) device.open();
  return { host, clock, scheduler, skbs, map, ports, freePages };
}

function closePorts(ports: readonly Port[], clock: VirtualClock): void {
  for (const { device } of ports) device.close();
  // A destroyed pool looks once a second whether its last buffer came home.
  clock.advance(5000);
}

/** Closes the ports and returns how many pages are missing then, whoever had them. */
export function closeStand({ ports, clock, host, freePages }: Stand): number {
  closePorts(ports, clock);
  return freePages - host.pages.freePageCount();
}

/** Sends a packet for network 10.0.n.0/24 where the map says, with new addresses; one without a place is dropped. */
function forward(u8: Uint8Array, map: DevMap, xdp: XdpBuff): number {
  const at = xdp.data;
  // Behind its end lies what the buffer held before.
  if (xdp.dataEnd - at < HEADER_BYTES) return XdpVerdict.Drop;
  const verdict = map.redirect(xdp, u8[at + NETWORK_AT]!, XdpVerdict.Drop);
  if (verdict !== XdpVerdict.Redirect) return verdict;
  for (let n = 0; n < 6; n++) {
    u8[at + n] = NEXT_HOP[n]!;
    u8[at + SRC_MAC_AT + n] = OWN[n]!;
  }
  return verdict;
}

/** Writes packet `n` for a network to `bytes`, and returns its length. */
export function writePacket(bytes: Uint8Array, network: number, n: number, payloadBytes: number): number {
  const frameBytes = HEADER_BYTES + payloadBytes;
  const spec: PacketSpec = {
    ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: OWN },
    network: { kind: "ipv4", src: ipv4Address("10.0.9.1"), dst: ipv4Address(`10.0.${network}.7`) },
    transport: { kind: "udp", srcPort: 4000, dstPort: 5000 },
    frameBytes,
  };
  buildPacket(bytes, 0, spec);
  fillPattern(bytes, HEADER_BYTES, payloadBytes, n);
  return frameBytes;
}

/** What {@link writePacket} wrote, as it must come out at the other side. */
export function writeForwarded(bytes: Uint8Array, network: number, n: number, payloadBytes: number): number {
  const len = writePacket(bytes, network, n, payloadBytes);
  bytes.set(NEXT_HOP, 0);
  bytes.set(OWN, SRC_MAC_AT);
  return len;
}

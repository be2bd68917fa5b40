/*
 * Answers to a host's packets, written over the question: ARP requests for its address, echo requests (ping), and UDP,
 * whose payload goes back as it came. Packet bytes only: the same program runs on the NIC model and on an interface.
 */
import type { Host } from "@netmem/core";
import { XdpVerdict } from "@netmem/netdev";
import type { XdpBuff } from "@netmem/skb";

const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_BYTES = 14;
const ARP_BYTES = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const IPV4_BYTES = 20;
const ICMP = 1;
const UDP = 17;
const ICMP_BYTES = 8;
const UDP_BYTES = 8;
const ECHO_REQUEST = 8;
const FRAGMENT_BITS = 0x3fff;
const { Drop, Tx } = XdpVerdict;

/** What was answered. */
export interface EchoCounts {
  arp: number;
  icmp: number;
  udp: number;
  /** Everything else: dropped. */
  other: number;
}

export interface EchoParams {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Four bytes. */
  readonly ip: Uint8Array;
}

/** Answers as the host with that address. {@link answer} is a program for a device. */
export class EchoResponder {
  readonly counts: EchoCounts = { arp: 0, icmp: 0, udp: 0, other: 0 };
  private readonly u8: Uint8Array;
  private readonly mac: Uint8Array;
  private readonly ip: Uint8Array;

  constructor(host: Host, { mac, ip }: EchoParams) {
    this.u8 = host.u8;
    this.mac = mac;
    this.ip = ip;
  }

  /** Writes the answer over the packet and returns TX, or DROP for what it does not answer. */
  answer(xdp: XdpBuff): number {
    const at = xdp.data;
    const bytes = xdp.dataEnd - at;
    const type = bytes < ETH_BYTES ? 0 : this.u16(at + 12);
    if (type === ETH_P_ARP && bytes >= ETH_BYTES + ARP_BYTES && this.answerArp(at)) return Tx;
    if (type === ETH_P_IP && bytes >= ETH_BYTES + IPV4_BYTES && this.answerIp(at, bytes)) return Tx;
    this.counts.other++;
    return Drop;
  }

  private answerArp(frame: number): boolean {
    const arp = frame + ETH_BYTES;
    const { u8 } = this;
    if (this.u16(arp + 2) !== ETH_P_IP || this.u16(arp + 6) !== ARP_REQUEST || !this.isOurs(arp + 24)) return false;
    this.putU16(arp + 6, ARP_REPLY);
    u8.copyWithin(arp + 18, arp + 8, arp + 18);
    u8.set(this.mac, arp + 8);
    u8.set(this.ip, arp + 14);
    this.turnRound(frame);
    this.counts.arp++;
    return true;
  }

  private answerIp(frame: number, bytes: number): boolean {
    const ip = frame + ETH_BYTES;
    const headerBytes = (this.u8[ip]! & 15) << 2;
    const isWhole = headerBytes >= IPV4_BYTES && (this.u16(ip + 6) & FRAGMENT_BITS) === 0;
    const l4Bytes = bytes - ETH_BYTES - headerBytes;
    if (this.u8[ip]! >> 4 !== 4 || !isWhole || l4Bytes < 0 || !this.isOurs(ip + 16)) return false;
    const protocol = this.u8[ip + 9]!;
    const isAnswered =
      (protocol === UDP && l4Bytes >= UDP_BYTES && this.answerUdp(ip + headerBytes)) ||
      (protocol === ICMP && l4Bytes >= ICMP_BYTES && this.answerPing(ip + headerBytes));
    if (!isAnswered) return false;
    // Addresses change places, so the header's checksum stays what it was.
    this.swap(ip + 12, ip + 16, 4);
    this.turnRound(frame);
    return true;
  }

  private answerUdp(udp: number): boolean {
    this.swap(udp, udp + 2, 2);
    // None: over a virtual cable the kernel leaves the sum unfinished, and IPv4 allows to send without.
    this.putU16(udp + 6, 0);
    this.counts.udp++;
    return true;
  }

  private answerPing(icmp: number): boolean {
    if (this.u8[icmp] !== ECHO_REQUEST) return false;
    this.u8[icmp] = 0;
    // The type went down by 8 in the high byte, so the complement of the sum goes up by as much (RFC 1624).
    const sum = this.u16(icmp + 2) + (ECHO_REQUEST << 8);
    this.putU16(icmp + 2, (sum & 0xffff) + (sum >>> 16));
    this.counts.icmp++;
    return true;
  }

  /** To whom it came from, from us. */
  private turnRound(frame: number): void {
    this.u8.copyWithin(frame, frame + 6, frame + 12);
    this.u8.set(this.mac, frame + 6);
  }

  private isOurs(at: number): boolean {
    const { u8, ip } = this;
    return u8[at] === ip[0] && u8[at + 1] === ip[1] && u8[at + 2] === ip[2] && u8[at + 3] === ip[3];
  }

  private swap(a: number, b: number, bytes: number): void {
    const { u8 } = this;
    for (let n = 0; n < bytes; n++) {
      const byte = u8[a + n]!;
      u8[a + n] = u8[b + n]!;
      u8[b + n] = byte;
    }
  }

  private u16(at: number): number {
    return (this.u8[at]! << 8) | this.u8[at + 1]!;
  }

  private putU16(at: number, value: number): void {
    this.u8[at] = value >>> 8;
    this.u8[at + 1] = value & 0xff;
  }
}

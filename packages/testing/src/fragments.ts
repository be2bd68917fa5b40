import { getU16, putU16, putU32 } from "./bytes.ts";
import { foldChecksum, sumWords } from "./internet-checksum.ts";
import { IPV6_BYTES, IPV6_FRAGMENT_BYTES } from "./ipv6.ts";

const ETHERNET_BYTES = 14;
const VLAN_BYTES = 18;
const VLAN_ETHER_TYPE = 0x8100;
const NEXT_HEADER_FRAGMENT = 44;

/**
 * Cuts a whole Ethernet frame with an IPv4 or IPv6 packet into the fragments that a sender behind a link of `mtuBytes`
 * would send, as new arrays in order. Padding of the frame is left out. A packet that fits comes back as one copy.
 *
 * Throws RangeError for a frame that is not IP, is a fragment, has IPv4 options, or for an MTU with no room for data.
 */
export function fragmentPacket(frame: Uint8Array, mtuBytes: number, id: number): Uint8Array[] {
  const linkBytes = getU16(frame, 12) === VLAN_ETHER_TYPE ? VLAN_BYTES : ETHERNET_BYTES;
  const version = (frame[linkBytes] ?? 0) >>> 4;
  if (version !== 4 && version !== 6) throw new RangeError("fragmentPacket: the frame holds no IP packet");
  const ip = frame.subarray(linkBytes);
  const ipBytes = version === 4 ? getU16(ip, 2) : IPV6_BYTES + getU16(ip, 4);
  if (ipBytes <= mtuBytes) return [frame.slice(0, linkBytes + ipBytes)];
  const headerBytes = version === 4 ? checkIpv4(ip) : checkIpv6(ip);
  const stepBytes = (mtuBytes - headerBytes - (version === 4 ? 0 : IPV6_FRAGMENT_BYTES)) & ~7;
  if (stepBytes < 8) throw new RangeError(`fragmentPacket: an MTU of ${mtuBytes} leaves no room for data`);
  const data = ip.subarray(headerBytes, ipBytes);
  const fragments: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += stepBytes) {
    const part = data.subarray(at, at + stepBytes);
    const more = at + stepBytes < data.length;
    const headers = frame.subarray(0, linkBytes + headerBytes);
    fragments.push((version === 4 ? ipv4Fragment : ipv6Fragment)(headers, linkBytes, part, at, more, id));
  }
  return fragments;
}

function checkIpv4(ip: Uint8Array): number {
  if (ip[0] !== 0x45) throw new RangeError("fragmentPacket: IPv4 options are not supported");
  if ((getU16(ip, 6) & 0x3fff) !== 0) throw new RangeError("fragmentPacket: the packet is a fragment already");
  return 20;
}

function checkIpv6(ip: Uint8Array): number {
  if (ip[6] === NEXT_HEADER_FRAGMENT) throw new RangeError("fragmentPacket: the packet is a fragment already");
  return IPV6_BYTES;
}

function ipv4Fragment(
  headers: Uint8Array,
  ipOff: number,
  part: Uint8Array,
  offsetBytes: number,
  more: boolean,
  id: number,
): Uint8Array {
  const fragment = new Uint8Array(headers.length + part.length);
  fragment.set(headers);
  fragment.set(part, headers.length);
  putU16(fragment, ipOff + 2, 20 + part.length);
  putU16(fragment, ipOff + 4, id);
  putU16(fragment, ipOff + 6, (more ? 0x2000 : 0) | (offsetBytes >>> 3));
  putU16(fragment, ipOff + 10, 0);
  putU16(fragment, ipOff + 10, foldChecksum(sumWords(fragment, ipOff, 20)));
  return fragment;
}

function ipv6Fragment(
  headers: Uint8Array,
  ipOff: number,
  part: Uint8Array,
  offsetBytes: number,
  more: boolean,
  id: number,
): Uint8Array {
  const extOff = headers.length;
  const fragment = new Uint8Array(extOff + IPV6_FRAGMENT_BYTES + part.length);
  fragment.set(headers);
  fragment[extOff] = fragment[ipOff + 6]!;
  fragment[ipOff + 6] = NEXT_HEADER_FRAGMENT;
  putU16(fragment, ipOff + 4, IPV6_FRAGMENT_BYTES + part.length);
  putU16(fragment, extOff + 2, offsetBytes | (more ? 1 : 0));
  putU32(fragment, extOff + 4, id);
  fragment.set(part, extOff + IPV6_FRAGMENT_BYTES);
  return fragment;
}

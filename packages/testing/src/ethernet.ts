import { putU16 } from "./bytes.ts";

const ETHERNET_BYTES = 14;
const VLAN_TAG_BYTES = 4;
const VLAN_ETHER_TYPE = 0x8100;

/** An Ethernet II header, with one 802.1Q tag if `vlanId` is given. */
export interface EthernetParams {
  /** 6 bytes. */
  srcMac: Uint8Array;
  /** 6 bytes. */
  dstMac: Uint8Array;
  /** 0..4095. */
  vlanId?: number;
  /** 802.1p priority, 0..7; 0 by default. */
  vlanPriority?: number;
}

/** The size of the header that {@link writeEthernet} writes: 14 or 18 bytes. */
export function ethernetBytes(params: EthernetParams): number {
  return params.vlanId === undefined ? ETHERNET_BYTES : ETHERNET_BYTES + VLAN_TAG_BYTES;
}

/** Writes the header at `off`. */
export function writeEthernet(dst: Uint8Array, off: number, params: EthernetParams, etherType: number): void {
  dst.set(params.dstMac, off);
  dst.set(params.srcMac, off + 6);
  if (params.vlanId !== undefined) {
    putU16(dst, off + 12, VLAN_ETHER_TYPE);
    putU16(dst, off + 14, ((params.vlanPriority ?? 0) << 13) | params.vlanId);
  }
  putU16(dst, off + ethernetBytes(params) - 2, etherType);
}

import { putU16 } from "./bytes.ts";

/** The size of an ARP message for Ethernet and IPv4. */
export const ARP_BYTES = 28;

/** An ARP message for Ethernet and IPv4. */
export interface ArpParams {
  readonly kind: "arp";
  /** 1 is a request, 2 a reply. */
  operation: number;
  senderMac: Uint8Array;
  senderIp: Uint8Array;
  targetMac: Uint8Array;
  targetIp: Uint8Array;
}

/** Writes the 28 bytes at `off`. */
export function writeArp(dst: Uint8Array, off: number, params: ArpParams): void {
  putU16(dst, off, 1);
  putU16(dst, off + 2, 0x0800);
  putU16(dst, off + 4, 0x0604);
  putU16(dst, off + 6, params.operation);
  dst.set(params.senderMac, off + 8);
  dst.set(params.senderIp, off + 14);
  dst.set(params.targetMac, off + 18);
  dst.set(params.targetIp, off + 24);
}

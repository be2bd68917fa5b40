import { buildPacket, type PacketSpec } from "@netmem/testing";
import { buildSkb, putSkb, type SkbRef } from "../src/index.ts";
import { need, type Stand } from "./skb-fixture.ts";

/** What distinguishes one packet of a flow from the next; the defaults are the first of one TCP stream. */
export interface Segment {
  readonly bytes?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly id?: number;
  readonly ttl?: number;
  readonly tos?: number;
  readonly dontFragment?: boolean;
  readonly srcPort?: number;
  readonly options?: Uint8Array;
  readonly kind?: "tcp" | "udp";
  readonly ipv6?: boolean;
  readonly srcMac?: number;
  readonly flowLabel?: number;
}

/** Where {@link write} puts a packet. */
export const frame: Uint8Array = new Uint8Array(4096);

/** Writes the packet to `frame` and returns its length. */
export function write(segment: Segment): number {
  const { bytes = 100, id = 0, seq = 0, kind = "tcp", srcPort = 1000 } = segment;
  const spec: PacketSpec = {
    ethernet: { srcMac: Uint8Array.of(2, 0, 0, 0, 0, segment.srcMac ?? 1), dstMac: Uint8Array.of(2, 0, 0, 0, 0, 9) },
    network:
      segment.ipv6 === true
        ? {
            kind: "ipv6",
            src: new Uint8Array(16).fill(0xfd),
            dst: new Uint8Array(16).fill(0xfe),
            flowLabel: segment.flowLabel ?? 0,
            hopLimit: segment.ttl ?? 64,
            trafficClass: segment.tos ?? 0,
          }
        : {
            kind: "ipv4",
            src: Uint8Array.of(10, 0, 0, 1),
            dst: Uint8Array.of(10, 0, 0, 2),
            id,
            ttl: segment.ttl ?? 64,
            tos: segment.tos ?? 0,
            dontFragment: segment.dontFragment ?? false,
          },
    transport:
      kind === "udp"
        ? { kind, srcPort, dstPort: 2000 }
        : {
            kind,
            srcPort,
            dstPort: 2000,
            seq,
            ack: segment.ack ?? 7,
            window: segment.window ?? 500,
            ...(segment.flags !== undefined && { flags: segment.flags }),
            ...(segment.options && { options: segment.options }),
          },
    payloadBytes: bytes,
    frameBytes: 0,
    patternSeed: seq,
  };
  return buildPacket(frame, 0, spec);
}

/** The packet in the head of an skb, in a page of pool H. */
export function packetOf({ slab, host, poolH }: Pick<Stand, "slab" | "host" | "poolH">, segment: Segment): SkbRef {
  const len = write(segment);
  const skb = need(buildSkb(slab, poolH.allocPage(), 0, 4096, 64));
  host.u8.set(frame.subarray(0, len), putSkb(slab, skb, len));
  return skb;
}

/** `count` segments of 100 bytes in a row. */
export function stream(count: number, base: Segment = {}): Segment[] {
  return Array.from({ length: count }, (_, n) => ({ ...base, id: n, seq: n * 100 }));
}

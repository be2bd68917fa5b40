import { putU16, putU32 } from "./bytes.ts";
import type { EthernetParams } from "./ethernet.ts";
import { buildPacket, type PacketSpec } from "./packet-builder.ts";
import type { Prng } from "./prng.ts";
import type { TcpParams, UdpParams } from "./transport.ts";

/** One frame size and how often it comes, relative to the others of its mix. */
export interface FrameSizeShare {
  /** 74 or more, so that every header of a flow fits. */
  readonly frameBytes: number;
  readonly weight: number;
}

/** Small, middle and full frames at 7:4:1, as in the usual Internet mix, moved up to fit IPv6 and TCP headers. */
export const INTERNET_MIX: readonly FrameSizeShare[] = [
  { frameBytes: 74, weight: 7 },
  { frameBytes: 590, weight: 4 },
  { frameBytes: 1514, weight: 1 },
];

/** What a {@link FlowSet} is made of. */
export interface FlowSetParams {
  /** Source of every choice; the set draws from it with each packet. */
  readonly prng: Prng;
  /** 1..65536. */
  readonly flowCount: number;
  /** {@link INTERNET_MIX} by default. */
  readonly sizes?: readonly FrameSizeShare[];
  /** Share of flows that use IPv6, 0..1; 0.25 by default. */
  readonly ipv6Share?: number;
  /** Share of flows that use TCP, 0..1, the others use UDP; 0.5 by default. */
  readonly tcpShare?: number;
}

interface Flow {
  readonly spec: PacketSpec;
  readonly transport: TcpParams | UdpParams;
}

const MIN_FRAME_BYTES = 74;
const MAX_FLOWS = 65_536;

/** An endless, reproducible sequence of packets over a fixed number of flows with distinct addresses and ports. */
export class FlowSet {
  /** The flow of the packet built last. */
  lastFlowIdx = 0;
  /** Packets built so far; the payload of the n-th (from 0) is the pattern with seed n. */
  packetCount = 0;
  readonly #prng: Prng;
  readonly #flows: readonly Flow[];
  readonly #sizes: readonly FrameSizeShare[];
  readonly #totalWeight: number;

  /** Throws RangeError for a flow count or a size out of range. */
  constructor(params: FlowSetParams) {
    const flowCount = params.flowCount;
    if (!(flowCount >= 1 && flowCount <= MAX_FLOWS)) {
      throw new RangeError(`FlowSet: flowCount must be 1..${MAX_FLOWS}, got ${flowCount}`);
    }
    this.#prng = params.prng;
    this.#sizes = params.sizes ?? INTERNET_MIX;
    if (this.#sizes.length === 0 || this.#sizes.some((share) => share.frameBytes < MIN_FRAME_BYTES)) {
      throw new RangeError(`FlowSet: needs frame sizes of ${MIN_FRAME_BYTES} bytes or more`);
    }
    this.#totalWeight = this.#sizes.reduce((sum, share) => sum + share.weight, 0);
    this.#flows = Array.from({ length: flowCount }, (_, idx) => makeFlow(idx, params));
  }

  /** Builds the next packet at `off` and returns its size in bytes. Throws RangeError when it does not fit. */
  nextInto(dst: Uint8Array, off: number): number {
    this.lastFlowIdx = this.#prng.below(this.#flows.length);
    const flow = this.#flows[this.lastFlowIdx] as Flow;
    flow.spec.frameBytes = this.#drawFrameBytes();
    flow.spec.patternSeed = this.packetCount;
    const frameBytes = buildPacket(dst, off, flow.spec);
    if (flow.transport.kind === "tcp") flow.transport.seq = ((flow.transport.seq ?? 0) + frameBytes) | 0;
    this.packetCount++;
    return frameBytes;
  }

  #drawFrameBytes(): number {
    let at = this.#prng.below(this.#totalWeight);
    for (const share of this.#sizes) {
      if (at < share.weight) return share.frameBytes;
      at -= share.weight;
    }
    return MIN_FRAME_BYTES;
  }
}

function makeFlow(idx: number, params: FlowSetParams): Flow {
  const prng = params.prng;
  const ports = { srcPort: 1024 + prng.below(60_000), dstPort: prng.pick([53, 80, 443, 8080]) };
  const transport: TcpParams | UdpParams = prng.bool(params.tcpShare ?? 0.5)
    ? { kind: "tcp", ...ports, seq: prng.nextInt32() }
    : { kind: "udp", ...ports };
  const network: PacketSpec["network"] = prng.bool(params.ipv6Share ?? 0.25)
    ? { kind: "ipv6", src: ipv6Of(1, idx), dst: ipv6Of(2, idx) }
    : { kind: "ipv4", src: ipv4Of(1, idx), dst: ipv4Of(2, idx) };
  return { spec: { ethernet: linkOf(idx), network, transport }, transport };
}

function linkOf(idx: number): EthernetParams {
  const link = { srcMac: Uint8Array.of(2, 0, 0, 1, 0, 0), dstMac: Uint8Array.of(2, 0, 0, 2, 0, 0) };
  putU16(link.srcMac, 4, idx);
  return link;
}

function ipv4Of(side: number, idx: number): Uint8Array {
  const address = Uint8Array.of(10, side, 0, 0);
  putU16(address, 2, idx);
  return address;
}

function ipv6Of(side: number, idx: number): Uint8Array {
  const address = new Uint8Array(16);
  putU32(address, 0, 0xfd000000 | side);
  putU32(address, 12, idx);
  return address;
}

import { crc32 } from "node:zlib";

interface FlowSum {
  bytes: number;
  crc: number;
}

/** Byte count and running checksum of what each flow carried, in order. */
export class FlowLog {
  bytes = 0;
  private readonly flows = new Map<string, FlowSum>();

  /** One more piece of a flow's payload. */
  add(flow: string, piece: Uint8Array): void {
    let sum = this.flows.get(flow);
    if (sum === undefined) this.flows.set(flow, (sum = { bytes: 0, crc: 0 }));
    sum.bytes += piece.length;
    sum.crc = crc32(piece, sum.crc);
    this.bytes += piece.length;
  }

  get flowCount(): number {
    return this.flows.size;
  }

  /** Flows that this log and the other do not agree on. */
  differencesTo(other: FlowLog): string[] {
    const names = new Set([...this.flows.keys(), ...other.flows.keys()]);
    return [...names].filter((name) => {
      const [a, b] = [this.flows.get(name), other.flows.get(name)];
      return a?.bytes !== b?.bytes || a?.crc !== b?.crc;
    });
  }
}

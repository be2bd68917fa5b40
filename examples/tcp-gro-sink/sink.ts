import type { Host } from "@netmem/core";
import { asSkbRef, consumeSkb, GroTable, SkbSeq, type SkbSlab, SkbView } from "@netmem/skb";
import { FlowLog } from "./flow-log.ts";
import { TcpSegment } from "./tcp-segment.ts";

/** A receiver of TCP: merges what belongs together, reads every payload byte where it lies, gives the packets back. */
export class Sink {
  /** Packets that arrived, and packets that the reader got. */
  arrived = 0;
  delivered = 0;
  /** Segments in the largest packet, and bytes of it. */
  maxSegments = 1;
  maxBytes = 0;
  readonly log = new FlowLog();
  private readonly host: Host;
  private readonly slab: SkbSlab;
  private readonly view: SkbView;
  private readonly seq: SkbSeq;
  private readonly gro: GroTable;
  private readonly segment = new TcpSegment();

  constructor(host: Host, slab: SkbSlab) {
    this.host = host;
    this.slab = slab;
    this.view = new SkbView(slab);
    this.seq = new SkbSeq(slab);
    this.gro = new GroTable(slab, (skbs, count) => this.read(skbs, count));
  }

  /** Takes the skbs of a poll. */
  receive(skbs: Int32Array, count: number): void {
    this.arrived += count;
    for (let n = 0; n < count; n++) this.gro.receive(asSkbRef(skbs[n]!));
    this.gro.endPoll();
  }

  /** No packet will come for a while. */
  flush(): void {
    this.gro.flush();
  }

  private read(skbs: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) {
      const skb = asSkbRef(skbs[n]!);
      const { view, seq, segment, host } = this;
      this.delivered++;
      if (segment.parse(host.u8, view.of(skb).data, view.len)) {
        this.maxSegments = Math.max(this.maxSegments, view.gsoSegs);
        this.maxBytes = Math.max(this.maxBytes, view.len);
        seq.start(skb, segment.headerBytes, segment.payloadBytes);
        while (seq.next()) this.log.add(segment.flow, host.u8.subarray(seq.offset, seq.offset + seq.len));
      }
      consumeSkb(this.slab, skb);
    }
  }
}

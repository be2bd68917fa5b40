import type { Host } from "@netmem/core";
import { ChannelKind, CHANNEL_RING, createChannel, freeChannel, SpscConsumer } from "@netmem/ring";
import { asFrameRef, type FrameRef, returnFrame } from "@netmem/skb";

/** A way for frames from one worker to another. */
export interface LinkParams {
  readonly from: string;
  readonly to: string;
  /** Frames that may be on their way, a power of two. Default 512. */
  readonly size?: number;
}

const DEFAULT_SIZE = 512;

/** The group's view of a link. */
export class Link {
  readonly from: string;
  readonly to: string;
  readonly at: number;
  /** What programs know it by. */
  readonly target: number;
  private readonly host: Host;

  constructor(host: Host, params: LinkParams, target: number) {
    this.host = host;
    this.from = params.from;
    this.to = params.to;
    this.target = target;
    this.at = createChannel(host, params.size ?? DEFAULT_SIZE, ChannelKind.Records);
  }

  /** Sends what is inside home, while nobody receives. Returns how many frames that were. */
  empty(): number {
    const ring = this.ring();
    let count = 0;
    for (let frame = ring.take(); frame !== 0; frame = ring.take()) {
      returnFrame(this.host, asFrameRef(frame));
      count++;
    }
    ring.release();
    return count;
  }

  /** What is inside; it stays there. */
  look(): FrameRef[] {
    const ring = this.ring();
    const frames: FrameRef[] = [];
    for (let frame = ring.take(); frame !== 0; frame = ring.take()) frames.push(asFrameRef(frame));
    return frames;
  }

  free(): void {
    this.empty();
    freeChannel(this.host, this.at);
  }

  private ring(): SpscConsumer {
    return new SpscConsumer(this.host.i32, this.at + CHANNEL_RING);
  }
}

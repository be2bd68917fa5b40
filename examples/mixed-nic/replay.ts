import { createReadStream } from "node:fs";
import { CaptureReader, PacketInfo, ReadStatus } from "@netmem/capture";
import { Rss } from "@netmem/sim-nic";
import { MAX_FRAME_BYTES, type MixedNic } from "./mixed-nic.ts";
import { Verifier } from "./verifier.ts";

/** Packets on the wire between two rounds of polls. */
const BURST = 64;

/** Puts the packets of a capture on the wire, a burst at a time, and has them verified. */
export class Replay {
  readonly verifier: Verifier;
  /** Packets read from the file, once through. */
  capturePackets = 0;
  /** Packets that the NIC took. */
  injected = 0;
  /** Packets that it cannot take: shorter than an Ethernet header, or beyond its largest frame. */
  skipped = 0;
  /** Packets that it should have taken, but had no buffer for. */
  dropped = 0;
  /** Time that the NIC needed for hashing and writing. Milliseconds. */
  nicMs = 0;
  private readonly mixed: MixedNic;
  /** Computes the queues again, apart from the NIC. */
  private readonly rss: Rss;
  private readonly info = new PacketInfo();
  /** Where frames wait for their burst: arena byte offset. */
  private readonly stageAt: number;
  private readonly lengths = new Int32Array(BURST);
  private readonly taken = new Uint8Array(BURST);
  private staged = 0;

  constructor(mixed: MixedNic) {
    this.mixed = mixed;
    this.rss = new Rss(mixed.nic.queueCount);
    this.verifier = new Verifier(mixed, BURST);
    this.stageAt = mixed.host.heap.allocWords((BURST * MAX_FRAME_BYTES) >> 2) << 2;
  }

  /** Replays the file once. What was read before an error counts. */
  async run(pcap: string, onProgress: (packets: number) => void): Promise<void> {
    const reader = new CaptureReader();
    try {
      for await (const chunk of createReadStream(pcap)) {
        reader.push(chunk as Uint8Array);
        await this.drain(reader);
        onProgress(this.injected);
      }
      reader.finish();
      await this.drain(reader);
    } finally {
      await this.flush();
      this.capturePackets = Math.max(this.capturePackets, reader.packetCount);
    }
  }

  private async drain(reader: CaptureReader): Promise<void> {
    const { u8 } = this.mixed.host;
    for (;;) {
      const at = this.stageAt + this.staged * MAX_FRAME_BYTES;
      if (reader.nextInto(u8, at, MAX_FRAME_BYTES, this.info) !== ReadStatus.packet) return;
      this.stage();
      if (this.staged === BURST) await this.flush();
    }
  }

  private stage(): void {
    const { storedLenBytes, isTruncated } = this.info;
    if (isTruncated || storedLenBytes < 14) {
      this.skipped++;
      return;
    }
    this.lengths[this.staged++] = storedLenBytes;
  }

  private async flush(): Promise<void> {
    if (this.staged === 0) return;
    this.inject();
    for (let n = 0; n < this.staged; n++) this.note(n);
    this.mixed.scheduler.runUntilIdle();
    await this.verifier.finishBurst();
    this.staged = 0;
  }

  private inject(): void {
    const { nic, host } = this.mixed;
    const start = performance.now();
    for (let n = 0; n < this.staged; n++) {
      this.taken[n] = nic.receive(host.u8, this.stageAt + n * MAX_FRAME_BYTES, this.lengths[n]!) ? 1 : 0;
    }
    this.nicMs += performance.now() - start;
  }

  private note(n: number): void {
    if (this.taken[n] === 0) {
      this.dropped++;
      return;
    }
    const at = this.stageAt + n * MAX_FRAME_BYTES;
    const len = this.lengths[n]!;
    this.injected++;
    this.verifier.expect(this.rss.chooseQueue(this.mixed.host.u8, at, len), at, len);
  }
}

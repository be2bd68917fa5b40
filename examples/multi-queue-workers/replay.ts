import { CaptureReader, PacketInfo, ReadStatus } from "@netmem/capture";
import { Rss, type SimNic } from "@netmem/sim-nic";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";

const MAX_FRAME_BYTES = 16_384;
const MIN_FRAME_BYTES = 14;
/** Packets between wire and wire at most: what the rings and links of one pair of workers hold. */
const MAX_ON_THE_WAY = 256;
/** How long nothing may come out before the rest counts as lost. */
const LOST_MS = 10_000;

/** A packet that is somewhere between wire and wire. */
interface Expected {
  readonly crc: number;
  readonly lenBytes: number;
}

/**
 * Puts the packets of a capture on the wire, and compares what comes out of it with what went in, byte by byte through a
 * checksum. Packets of one receive queue stay in order, whichever queue sends them; so that none is dropped, only so many
 * are on the way at once.
 */
export class Replay {
  /** Packets that the NIC took, that came out right, and that came out wrong. */
  taken = 0;
  right = 0;
  wrong = 0;
  /** Packets that no NIC takes. */
  skipped = 0;
  /** Packets of each receive queue that are on the way, oldest first. */
  readonly lanes: readonly Expected[][];
  private readonly nic: SimNic;
  private readonly rss: Rss;
  private readonly frames: readonly Uint8Array[];

  constructor(nic: SimNic, pcap: string) {
    this.nic = nic;
    this.rss = new Rss(nic.queueCount);
    this.lanes = Array.from({ length: nic.queueCount }, () => []);
    const all = readFrames(pcap);
    this.frames = all.filter((frame) => frame.length >= MIN_FRAME_BYTES && frame.length <= nic.maxFrameBytes);
    this.skipped = all.length - this.frames.length;
    nic.setWire((bytes, offsets, lengths, count) => {
      for (let n = 0; n < count; n++) this.take(bytes.subarray(offsets[n], offsets[n]! + lengths[n]!));
    });
  }

  /** Packets that went in and did not come out. */
  get onTheWay(): number {
    return this.taken - this.right - this.wrong;
  }

  /** Replays the capture once, and waits until everything came out. */
  async run(): Promise<void> {
    for (const frame of this.frames) {
      await this.waitUntil(() => this.onTheWay < MAX_ON_THE_WAY);
      // A ring may be empty for a moment, until its worker has posted new buffers.
      await this.waitUntil(() => this.send(frame));
    }
    await this.waitUntil(() => this.onTheWay === 0);
  }

  private send(frame: Uint8Array): boolean {
    const queueIdx = this.rss.chooseQueue(frame, 0, frame.length);
    if (!this.nic.receive(frame, 0, frame.length)) return false;
    this.lanes[queueIdx]!.push({ crc: crc32(frame), lenBytes: frame.length });
    this.taken++;
    return true;
  }

  private take(frame: Uint8Array): void {
    const queueIdx = this.rss.chooseQueue(frame, 0, frame.length);
    const expected = this.lanes[queueIdx]!.shift();
    if (expected?.lenBytes === frame.length && expected.crc === crc32(frame)) this.right++;
    else this.wrong++;
  }

  /** Lets the hardware work, and the threads, until it is so. */
  private async waitUntil(isSo: () => boolean): Promise<void> {
    let until = performance.now() + LOST_MS;
    for (let out = this.right; !isSo(); await setImmediate()) {
      this.nic.service();
      if (this.right !== out) until = performance.now() + LOST_MS;
      out = this.right;
      if (performance.now() > until) throw new Error(`${this.onTheWay} packets are lost`);
    }
    this.nic.service();
  }
}

function readFrames(pcap: string): Uint8Array[] {
  const reader = new CaptureReader();
  const info = new PacketInfo();
  const bytes = new Uint8Array(MAX_FRAME_BYTES);
  const frames: Uint8Array[] = [];
  reader.push(readFileSync(pcap));
  reader.finish();
  while (reader.nextInto(bytes, 0, MAX_FRAME_BYTES, info) === ReadStatus.packet) {
    if (!info.isTruncated) frames.push(bytes.slice(0, info.storedLenBytes));
  }
  return frames;
}

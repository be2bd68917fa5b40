import { crc32 } from "node:zlib";
import { idxOf } from "@netmem/core";
import type { DeviceFrag } from "@netmem/devmem";
import { asSkbRef, consumeSkbBulk, SkbView } from "@netmem/skb";
import type { MixedNic } from "./mixed-nic.ts";

/** Packets of one queue within a burst. */
interface QueueLane {
  /** Checksums and lengths of injected packets, in order. */
  readonly crcs: number[];
  readonly lens: number[];
  readonly skbs: Int32Array;
  skbCount: number;
  consumeMs: number;
}

/**
 * Compares what each queue delivered with what was injected for it, byte by byte through a checksum, in order. What landed
 * in device memory is asked back for that.
 */
export class Verifier {
  /** Packets delivered. */
  packets = 0;
  /** Packets that were wrong: bytes, length, queue or hash. */
  crcErrors = 0;
  /** Packets injected that never came out. */
  lost = 0;
  private readonly mixed: MixedNic;
  private readonly view: SkbView;
  private readonly lanes: readonly QueueLane[];

  constructor(mixed: MixedNic, maxBurstPkts: number) {
    this.mixed = mixed;
    this.view = new SkbView(mixed.skbs);
    this.lanes = mixed.drivers.map(() => ({
      crcs: [],
      lens: [],
      skbs: new Int32Array(maxBurstPkts),
      skbCount: 0,
      consumeMs: 0,
    }));
    mixed.device.setReceiver((skbs, count) => this.take(skbs, count));
  }

  /** Time in which a queue's skbs were given back. Milliseconds. */
  consumeMs(queueIdx: number): number {
    return this.lane(queueIdx).consumeMs;
  }

  /** A frame was put on the wire, and belongs to queue `queueIdx`. */
  expect(queueIdx: number, at: number, lenBytes: number): void {
    const lane = this.lane(queueIdx);
    lane.crcs.push(this.crcOf(at, lenBytes, 0));
    lane.lens.push(lenBytes);
  }

  /** The burst is over: verifies and gives back everything that was delivered. */
  async finishBurst(): Promise<void> {
    for (const [queueIdx, lane] of this.lanes.entries()) await this.finishLane(lane, queueIdx);
  }

  private take(skbs: Int32Array, count: number): void {
    const lane = this.lane(this.view.of(asSkbRef(skbs[0]!)).queueIdx);
    for (let n = 0; n < count; n++) lane.skbs[lane.skbCount++] = skbs[n]!;
  }

  private async finishLane(lane: QueueLane, queueIdx: number): Promise<void> {
    for (let n = 0; n < lane.skbCount; n++) {
      const view = this.view.of(asSkbRef(lane.skbs[n]!));
      const isRight = view.len === lane.lens[n] && view.queueIdx === queueIdx;
      const crc = view.unreadable ? await this.crcOnDevice(view) : this.crcInPlace(view);
      if (!isRight || crc !== lane.crcs[n]) this.crcErrors++;
    }
    this.packets += lane.skbCount;
    this.lost += Math.max(lane.crcs.length - lane.skbCount, 0);
    const start = performance.now();
    consumeSkbBulk(this.mixed.skbs, lane.skbs, lane.skbCount);
    lane.consumeMs += performance.now() - start;
    lane.skbCount = 0;
    lane.crcs.length = 0;
    lane.lens.length = 0;
  }

  private crcInPlace(view: SkbView): number {
    let crc = this.crcOf(view.data, view.headLen, 0);
    for (let frag = 0; frag < view.nrFrags; frag++) crc = this.crcOf(view.fragData(frag), view.fragLen(frag), crc);
    return crc;
  }

  /** Headers in a page, payload on the device. */
  private async crcOnDevice(view: SkbView): Promise<number> {
    const { host, binding } = this.mixed;
    const crc = this.crcOf(view.data, view.headLen, 0);
    const frags: DeviceFrag[] = [];
    for (let frag = 0; frag < view.nrFrags; frag++) {
      const idx = idxOf(view.fragRef(frag));
      const page = idx - (host.areas.of(idx)?.firstIdx ?? 0);
      frags.push({ offset: page * host.pageSizeBytes + view.fragOffset(frag), length: view.fragLen(frag) });
    }
    await binding.landing.settled();
    return crc32(await binding.memory.readback(frags), crc);
  }

  private crcOf(at: number, lenBytes: number, crc: number): number {
    return crc32(this.mixed.host.u8.subarray(at, at + lenBytes), crc);
  }

  private lane(queueIdx: number): QueueLane {
    return this.lanes[queueIdx]!;
  }
}

import { asSkbRef, consumeSkb, copyBits, SkbView } from "@netmem/skb";
import { check, checkEqual, fillPattern, findPatternMismatch } from "@netmem/testing";
import type { DriverSubject } from "./driver-subject.ts";

/** Longer than anything waits before it looks again. */
const SETTLE_MS = 5000;

/** What every case does with a subject: count pages, send patterned frames, take and verify what arrives. */
export class BenchStand {
  readonly subject: DriverSubject;
  /** Skbs that passed and were not consumed yet, in order. */
  readonly received: number[] = [];
  private readonly view: SkbView;
  private readonly freeAtStart: number;

  constructor(subject: DriverSubject) {
    this.subject = subject;
    this.view = new SkbView(subject.skbs);
    subject.device.setReceiver((skbs, count) => {
      for (let n = 0; n < count; n++) this.received.push(skbs[n]!);
    });
    // Control structures that stay allocated after the first start are no leak. Real hardware lets go of buffers later.
    subject.device.open();
    subject.device.close();
    subject.passTime(SETTLE_MS);
    this.freeAtStart = subject.host.pages.freePageCount();
  }

  /** A frame whose bytes follow from its number. */
  frame(lenBytes: number, seed: number): Uint8Array {
    const frame = new Uint8Array(lenBytes);
    fillPattern(frame, 0, lenBytes, seed);
    return frame;
  }

  /** Injects `count` frames of `lenBytes` with seeds from `firstSeed` on; returns how many the hardware took. */
  injectMany(count: number, lenBytes: number, firstSeed = 0): number {
    let taken = 0;
    for (let n = 0; n < count; n++) if (this.subject.inject(this.frame(lenBytes, firstSeed + n))) taken++;
    return taken;
  }

  run(): void {
    this.subject.scheduler.runUntilIdle(1000);
    checkEqual(this.subject.scheduler.pendingCount, 0, "poll instances that never become idle");
  }

  /** Takes the oldest received skb, checks length and every byte, and consumes it; returns its number of fragments. */
  consumeFirst(lenBytes: number, seed: number): number {
    const skb = asSkbRef(this.received.shift() ?? 0);
    const view = this.view.of(skb);
    checkEqual(view.len, lenBytes, "packet length");
    const bytes = new Uint8Array(lenBytes);
    copyBits(this.subject.skbs, skb, 0, bytes, lenBytes);
    checkEqual(findPatternMismatch(bytes, 0, lenBytes, seed), -1, "first wrong byte of the packet");
    const frags = view.nrFrags;
    consumeSkb(this.subject.skbs, skb);
    return frags;
  }

  consumeAll(): void {
    for (const skb of this.received) consumeSkb(this.subject.skbs, asSkbRef(skb));
    this.received.length = 0;
  }

  checkSent(frames: readonly Uint8Array[], lenBytes: number, firstSeed: number): void {
    for (const [n, frame] of frames.entries()) {
      checkEqual(frame.length, lenBytes, "length of a sent frame");
      checkEqual(findPatternMismatch(frame, 0, lenBytes, firstSeed + n), -1, "first wrong byte of a sent frame");
    }
  }

  /** Closes the device and checks that every page and skb is home. */
  closeAndCheckHome(): void {
    this.subject.device.close();
    this.checkHome();
  }

  checkHome(): void {
    const { host, skbs, device } = this.subject;
    this.subject.passTime(SETTLE_MS);
    checkEqual(skbs.liveCount, 0, "skbs left");
    checkEqual(device.drivers[0]?.inflight(), 0, "buffers in flight after close");
    checkEqual(host.pages.freePageCount(), this.freeAtStart, "free pages after close");
  }

  get stats(): ReturnType<DriverSubject["device"]["getStats"]>[number] {
    const stats = this.subject.device.getStats()[0];
    check(stats !== undefined, "the device has no queue");
    return stats;
  }
}

import { check, checkEqual, checkThrows, type SuiteCase } from "@netmem/testing";
import { XdpVerdict } from "../xdp-program.ts";
import { BenchStand } from "./bench-stand.ts";
import type { DriverSubject } from "./driver-subject.ts";

function passesEverySize(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const sizes = [60, 61, 62, 63, 64, 255, 256, 257, 1000, subject.bufferBytes - 1, subject.bufferBytes];
  for (const [seed, size] of sizes.entries()) {
    check(subject.inject(stand.frame(size, seed)), `a frame of ${size} bytes was dropped`);
    stand.run();
    checkEqual(stand.received.length, 1, "packets received");
    checkEqual(stand.consumeFirst(size, seed), 0, "fragments of a packet that fits one buffer");
  }
  stand.closeAndCheckHome();
}

function passesPacketsOfManyBuffers(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const one = subject.bufferBytes;
  const fragsOf = subject.fragsOf ?? ((size: number): number => Math.ceil(size / one) - 1);
  for (const [seed, size] of [one + 1, 2 * one, 2 * one + 1, 3 * one - 7].entries()) {
    check(subject.inject(stand.frame(size, seed)), `a frame of ${size} bytes was dropped`);
    stand.run();
    checkEqual(stand.consumeFirst(size, seed), fragsOf(size), "fragments");
  }
  stand.closeAndCheckHome();
}

function recyclesWhatIsDropped(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  subject.device.setProgram(() => XdpVerdict.Drop);
  let sent = 0;
  for (let round = 0; round < 40; round++) {
    checkEqual(stand.injectMany(48, 64, sent), 48, "frames taken");
    stand.injectMany(2, subject.bufferBytes + 9);
    sent += 50;
    stand.run();
  }
  checkEqual(
    [stand.stats.xdpDrop, stand.stats.rxPackets, stand.stats.allocFailed],
    [sent, sent, 0],
    "drops, packets, failures",
  );
  stand.closeAndCheckHome();
}

function keepsToItsBudget(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const count = Math.min(subject.ringSize - 1, 150);
  checkEqual(stand.injectMany(count, 64), count, "frames taken");
  let polls = 0;
  while (subject.scheduler.pendingCount > 0 && polls < 1000) {
    const before = stand.received.length;
    subject.scheduler.runOnce();
    check(stand.received.length - before <= 64, "a poll received more than its budget");
    polls++;
  }
  checkEqual(stand.received.length, count, "packets received");
  // Idle now: the next packet must interrupt again.
  subject.inject(stand.frame(64, 7));
  stand.run();
  checkEqual(stand.received.length, count + 1, "packets after an idle phase");
  stand.consumeAll();
  stand.closeAndCheckHome();
}

function leavesHeldPacketsAlone(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  // Every other packet is held while the ring goes round a few times; then all of them must still be what they were.
  const held: number[] = [];
  const total = 4 * subject.ringSize;
  // Patterns repeat with 256 seeds, and so may the places of packets: keep the two apart.
  const seedOf = (n: number): number => n + (n >> 8);
  for (let n = 0; n < total; n++) {
    check(subject.inject(stand.frame(300, seedOf(n))), "a frame was dropped");
    if (n % 16 === 15 || n === total - 1) stand.run();
    while (stand.received.length > 0) {
      const next = n + 1 - stand.received.length;
      if (next % 2 === 0) held.push(stand.received.shift() ?? 0);
      else stand.consumeFirst(300, seedOf(next));
    }
  }
  stand.received.push(...held);
  for (let n = 0; n < held.length; n++) stand.consumeFirst(300, seedOf(2 * n));
  checkEqual(held.length, total / 2, "packets held");
  stand.closeAndCheckHome();
}

function countsVerdicts(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const verdicts = [XdpVerdict.Pass, XdpVerdict.Aborted, XdpVerdict.Drop, 77];
  let n = 0;
  subject.device.setProgram(() => verdicts[n++ & 3]!);
  stand.injectMany(8, 100);
  stand.run();
  const { xdpPass, xdpAborted, xdpDrop, rxBytes } = stand.stats;
  checkEqual([xdpPass, xdpAborted, xdpDrop, rxBytes], [2, 4, 2, 800], "pass, aborted, drop, bytes");
  stand.consumeAll();
  stand.closeAndCheckHome();
}

function survivesAProgramThatThrows(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  let n = 0;
  subject.device.setProgram(() => {
    if (n++ === 1) throw Object.assign(new Error("bad program"), { code: "BAD_PROGRAM" });
    return XdpVerdict.Pass;
  });
  stand.injectMany(4, 64);
  checkThrows(() => subject.scheduler.runOnce(), "BAD_PROGRAM");
  stand.run();
  checkEqual([stand.stats.xdpPass, stand.stats.xdpAborted], [3, 1], "pass, aborted");
  stand.consumeAll();
  stand.closeAndCheckHome();
}

function outlivesExhaustedMemory(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const { pages } = subject.host;
  const hoard: ReturnType<typeof pages.allocPages>[] = [];
  for (let page = pages.allocPages(0); page !== 0; page = pages.allocPages(0)) hoard.push(page);
  let taken = 0;
  for (let n = 0; n < 20 * subject.ringSize; n++) {
    if (subject.inject(stand.frame(64, n))) taken++;
    stand.run();
  }
  check(taken < 20 * subject.ringSize, "the driver went on without memory");
  check(stand.stats.allocFailed > 0, "no failed allocation was counted");
  checkEqual(stand.received.length, taken, "packets received");
  for (const page of hoard) if (page !== 0) pages.freePage(page);
  stand.consumeAll();
  // The first may still find an empty ring; its interrupt makes the driver refill.
  subject.inject(stand.frame(64, 0));
  stand.run();
  stand.consumeAll();
  checkEqual(stand.injectMany(4, 64), 4, "frames taken once there is memory again");
  stand.run();
  stand.consumeAll();
  stand.closeAndCheckHome();
}

/** Receiving: bytes, fragments, budget, verdicts, and going on when something fails. */
export const receiveCases: readonly SuiteCase<DriverSubject>[] = [
  { name: "passes packets of every size up to a buffer, byte for byte", run: passesEverySize },
  { name: "passes packets of many buffers as fragments", run: passesPacketsOfManyBuffers },
  { name: "recycles the buffers of dropped packets", run: recyclesWhatIsDropped },
  { name: "keeps to its budget and interrupts again after an idle phase", run: keepsToItsBudget },
  { name: "does not write into packets that somebody holds", run: leavesHeldPacketsAlone },
  { name: "drops what the program aborts or answers nonsense to, and counts it", run: countsVerdicts },
  { name: "survives a program that throws", run: survivesAProgramThatThrows },
  { name: "goes on when memory ran out and came back", run: outlivesExhaustedMemory },
];

import { check, checkEqual, type SuiteCase } from "@netmem/testing";
import { XdpVerdict } from "../xdp-program.ts";
import { BenchStand } from "./bench-stand.ts";
import type { DriverSubject } from "./driver-subject.ts";

function sendsBack(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  subject.device.setProgram(() => XdpVerdict.Tx);
  for (const size of [60, 1000, subject.bufferBytes, subject.bufferBytes + 1, 3 * subject.bufferBytes - 1]) {
    for (let round = 0; round < 5; round++) {
      checkEqual(stand.injectMany(8, size, round), 8, "frames taken");
      stand.run();
      const sent = subject.takeSent();
      checkEqual(sent.length, 8, "frames sent");
      stand.checkSent(sent, size, round);
    }
  }
  checkEqual([stand.stats.xdpTx, stand.stats.txPackets, stand.stats.xmitErrors], [200, 200, 0], "tx, sent, errors");
  stand.closeAndCheckHome();
}

function redirects(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  const { ifindex } = subject.device;
  let n = 0;
  subject.device.setProgram((xdp) => {
    xdp.redirectIfindex = n++ === 2 ? ifindex + 1000 : ifindex;
    return XdpVerdict.Redirect;
  });
  stand.injectMany(2, 200, 0);
  stand.run();
  const sent = subject.takeSent();
  checkEqual(sent.length, 2, "frames sent");
  stand.checkSent(sent, 200, 0);
  stand.injectMany(3, 200, 0);
  stand.run();
  checkEqual(
    [subject.takeSent().length, stand.stats.xmitErrors, stand.stats.xdpRedirect],
    [2, 1, 5],
    "sent, errors, redirects",
  );
  stand.closeAndCheckHome();
}

function changesWhatItSends(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  subject.device.setProgram((xdp) => {
    check(xdp.adjustHead(-4), "no headroom for four bytes");
    subject.host.u8.fill(0xab, xdp.data, xdp.data + 4);
    return XdpVerdict.Tx;
  });
  subject.inject(stand.frame(100, 3));
  stand.run();
  const [sent] = subject.takeSent();
  checkEqual(sent?.length, 104, "length of the frame with a pushed header");
  checkEqual(sent?.subarray(0, 4), Uint8Array.of(0xab, 0xab, 0xab, 0xab), "pushed header");
  stand.checkSent([sent!.subarray(4)], 100, 3);
  stand.closeAndCheckHome();
}

function refusesWhatDoesNotFit(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  subject.device.setProgram(() => XdpVerdict.Tx);
  subject.pauseWire(true);
  let injected = 0;
  while (stand.stats.xmitErrors === 0 && injected < 100_000) {
    if (stand.injectMany(16, 64, injected) < 16) break;
    injected += 16;
    stand.run();
  }
  check(stand.stats.xmitErrors > 0, "a TX queue that never fills up");
  checkEqual(subject.takeSent().length, 0, "frames sent while paused");
  subject.pauseWire(false);
  stand.run();
  checkEqual(subject.takeSent().length, injected - stand.stats.xmitErrors, "frames sent after the pause");
  stand.injectMany(4, 64, 0);
  stand.run();
  stand.checkSent(subject.takeSent(), 64, 0);
  stand.closeAndCheckHome();
}

function closesWithFramesQueued(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  subject.device.setProgram(() => XdpVerdict.Tx);
  subject.pauseWire(true);
  stand.injectMany(8, subject.bufferBytes + 20);
  stand.injectMany(8, 64);
  stand.run();
  subject.device.close();
  subject.pauseWire(false);
  stand.checkHome();
}

function closesWithPacketsUnpolled(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  stand.injectMany(10, 64);
  stand.injectMany(2, subject.bufferBytes + 20);
  stand.closeAndCheckHome();
  checkEqual(stand.received.length, 0, "packets received after close");
}

function packetsOutliveTheDevice(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  subject.device.open();
  stand.injectMany(6, 100, 10);
  stand.injectMany(2, 2 * subject.bufferBytes, 16);
  stand.run();
  subject.device.close();
  for (let n = 0; n < 6; n++) stand.consumeFirst(100, 10 + n);
  for (let n = 0; n < 2; n++) stand.consumeFirst(2 * subject.bufferBytes, 16 + n);
  stand.checkHome();
}

function startsAgain(subject: DriverSubject): void {
  const stand = new BenchStand(subject);
  for (let round = 0; round < 5; round++) {
    subject.device.open();
    checkEqual(stand.injectMany(20, 64, round), 20, "frames taken");
    stand.run();
    for (let n = 0; n < 20; n++) stand.consumeFirst(64, round + n);
    stand.closeAndCheckHome();
  }
  check(!subject.inject(stand.frame(64, 0)), "a closed device took a frame");
}

/** Transmitting, and stopping with buffers everywhere. */
export const transmitCases: readonly SuiteCase<DriverSubject>[] = [
  { name: "sends packets back and takes their buffers home", run: sendsBack },
  { name: "redirects by interface index, and drops what leads nowhere", run: redirects },
  { name: "sends what a program made of the packet", run: changesWhatItSends },
  { name: "leaves what its TX queue has no room for with the caller", run: refusesWhatDoesNotFit },
  { name: "closes with frames queued for transmission", run: closesWithFramesQueued },
  { name: "closes with packets in the ring that nobody polled", run: closesWithPacketsUnpolled },
  { name: "lets packets outlive the device", run: packetsOutliveTheDevice },
  { name: "can be closed and opened again", run: startsAgain },
];

import { check, checkEqual, checkThrows, type SuiteCase } from "@netmem/testing";
import type { QueueMgmtOps } from "../queue-mgmt.ts";
import { XdpVerdict } from "../xdp-program.ts";
import { BenchStand } from "./bench-stand.ts";
import type { DriverSubject } from "./driver-subject.ts";

/** Two live pools at a time, instead of one, may take more control structures: those stay allocated, and are no leak. */
function openWarm(subject: DriverSubject): BenchStand {
  subject.device.open();
  subject.device.restartRxQueue(0);
  subject.device.close();
  return new BenchStand(subject);
}

function mgmtOf({ device }: DriverSubject): QueueMgmtOps {
  const mgmt = device.drivers[0]?.mgmt;
  if (mgmt === undefined) throw new Error("the driver has no queue management");
  return mgmt;
}

/** What was received before a restart arrives before what comes after it, every byte right. */
function handsOnWhatItReceived(subject: DriverSubject): void {
  // The pools of packets with users live on, so several are there at once. The first round makes their control structures.
  receiveAcrossRestarts(subject, openWarm(subject));
  subject.device.close();
  const stand = new BenchStand(subject);
  receiveAcrossRestarts(subject, stand);
  stand.closeAndCheckHome();
}

function receiveAcrossRestarts({ device }: DriverSubject, stand: BenchStand): void {
  device.open();
  let sent = 0;
  for (const count of [1, 40, 0, 7]) {
    checkEqual(stand.injectMany(count, 100, sent), count, "frames taken");
    sent += count;
    device.restartRxQueue(0);
  }
  checkEqual(stand.injectMany(5, 100, sent), 5, "frames taken after the last restart");
  stand.run();
  checkEqual(stand.received.length, sent + 5, "packets received");
  for (let n = 0; n < sent + 5; n++) stand.consumeFirst(100, n);
}

function leavesTransmissionAlone(subject: DriverSubject): void {
  const stand = openWarm(subject);
  subject.device.open();
  subject.device.setProgram(() => XdpVerdict.Tx);
  subject.pauseWire(true);
  stand.injectMany(8, 64);
  stand.run();
  subject.device.restartRxQueue(0);
  subject.pauseWire(false);
  stand.run();
  const frames = subject.takeSent();
  checkEqual(frames.length, 8, "frames sent");
  stand.checkSent(frames, 64, 0);
  stand.closeAndCheckHome();
}

function keepsPacketsOfUsers(subject: DriverSubject): void {
  const stand = openWarm(subject);
  subject.device.open();
  stand.injectMany(6, 200);
  stand.run();
  subject.device.restartRxQueue(0);
  for (let n = 0; n < 6; n++) stand.consumeFirst(200, n);
  stand.closeAndCheckHome();
}

/** Memory that was made and never started goes back whole, on a running queue and on one that is down. */
function freesWhatItMade(subject: DriverSubject): void {
  const stand = openWarm(subject);
  const ops = mgmtOf(subject);
  subject.device.restartRxQueue(0);
  subject.device.open();
  for (let n = 0; n < 3; n++) ops.memFree(ops.memAlloc());
  checkEqual(stand.injectMany(3, 100), 3, "frames taken");
  stand.run();
  stand.consumeAll();
  stand.closeAndCheckHome();
}

function refusesInsideOfAPoll(subject: DriverSubject): void {
  const stand = openWarm(subject);
  subject.device.open();
  let tried = false;
  subject.device.setProgram(() => {
    tried = true;
    checkThrows(() => subject.device.restartRxQueue(0), "ERR_NETMEM_QUEUE_BUSY");
    return XdpVerdict.Pass;
  });
  stand.injectMany(1, 64);
  stand.run();
  check(tried, "the program did not run");
  stand.consumeAll();
  stand.closeAndCheckHome();
}

export const restartCases: readonly SuiteCase<DriverSubject>[] = [
  { name: "a restart hands on what was received", run: handsOnWhatItReceived },
  { name: "a restart leaves frames on their way out alone", run: leavesTransmissionAlone },
  { name: "packets with users survive a restart", run: keepsPacketsOfUsers },
  { name: "memory that is made and not used is given back", run: freesWhatItMade },
  { name: "a restart from inside a poll is refused", run: refusesInsideOfAPoll },
];

import { runSuite } from "@netmem/testing";
import { test } from "vitest";
import { type DriverSubject, driverSuite } from "../src/conformance/index.ts";
import { makeDevice, makeStand } from "./fixture.ts";
import { BUFFER_BYTES, RING_SIZE } from "./memory-driver.ts";

function makeSubject(): DriverSubject {
  const stand = makeStand();
  const { device, drivers } = makeDevice(stand, "mem0");
  const [driver] = drivers;
  if (driver === undefined) throw new Error("no driver");
  return {
    ...stand,
    device,
    bufferBytes: BUFFER_BYTES,
    ringSize: RING_SIZE,
    inject: (frame) => driver.receive(frame),
    takeSent: () => driver.sent.splice(0),
    pauseWire: (paused) => driver.setPaused(paused),
    passTime: (ms) => stand.clock.advance(ms),
  };
}

runSuite(driverSuite, makeSubject, test);

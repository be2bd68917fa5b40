import { type MakeDriver, makeSubject } from "@netmem-examples/driver-stand";
import { registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import { type DriverSubject, driverSuite, queueMgmtSuite } from "@netmem/netdev/conformance";
import { runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import { GveDevmemDriver } from "../driver.ts";

const BUFFER_BYTES = 4096 - 256 - 320;
const make: MakeDriver = (host, queue, hw) => new GveDevmemDriver(host, queue, hw);

registerDriverTests(make, BUFFER_BYTES, test);
runSuite(queueMgmtSuite, () => makeSubject(make, BUFFER_BYTES), test);

describe("with header split", () => {
  const makeSplit = (): DriverSubject => {
    const subject = makeSubject(make, BUFFER_BYTES, { dataDescCount: 256 });
    subject.device.setHeaderSplit({ tcpDataSplit: "enabled" });
    return subject;
  };
  runSuite(driverSuite, makeSplit, test);
  runSuite(queueMgmtSuite, makeSplit, test);
});

import { makeSubject } from "@netmem-examples/driver-stand";
import { driverSuite } from "@netmem/netdev/conformance";
import { runSuite } from "@netmem/testing";
import { test } from "vitest";
import { Order0Driver } from "../driver.ts";

const BUFFER_BYTES = 4096 - 256 - 320;

for (const startIndex of [0, 0xfffffff0]) {
  const make = (): ReturnType<typeof makeSubject> =>
    makeSubject((host, queue, hw) => new Order0Driver(host, queue, hw), BUFFER_BYTES, startIndex);
  runSuite(driverSuite, make, (name, run) => test(`${name} (indices from ${startIndex})`, run));
}

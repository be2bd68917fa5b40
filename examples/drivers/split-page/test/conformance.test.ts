import { createPageShared } from "@netmem/mm";
import { makeSubject } from "@netmem-examples/driver-stand";
import { driverSuite } from "@netmem/netdev/conformance";
import { runSuite } from "@netmem/testing";
import { test } from "vitest";
import { SplitPageDriver } from "../driver.ts";

const BUFFER_BYTES = 2048 - 256 - 320;

for (const startIndex of [0, 0xfffffff0]) {
  const make = (): ReturnType<typeof makeSubject> =>
    makeSubject(
      (host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw),
      BUFFER_BYTES,
      startIndex,
    );
  runSuite(driverSuite, make, (name, run) => test(`${name} (indices from ${startIndex})`, run));
}

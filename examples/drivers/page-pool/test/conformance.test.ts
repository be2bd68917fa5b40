import { makeSubject } from "@netmem-examples/driver-stand";
import { dmaDevices, registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import type { Host } from "@netmem/core";
import type { NicQueue } from "@netmem/sim-nic";
import type { RxQueue } from "@netmem/netdev";
import { queueMgmtSuite } from "@netmem/netdev/conformance";
import { runSuite } from "@netmem/testing";
import { test } from "vitest";
import { PagePoolDriver } from "../driver.ts";

const BUFFER_BYTES = 4096 - 256 - 320;

const make = (host: Host, queue: RxQueue, hw: NicQueue): PagePoolDriver => new PagePoolDriver(host, queue, hw);

registerDriverTests(make, BUFFER_BYTES, test);
runSuite(queueMgmtSuite, () => makeSubject(make, BUFFER_BYTES, {}), test);
for (const [name, dma] of Object.entries(dmaDevices)) {
  runSuite(
    queueMgmtSuite,
    () => makeSubject(make, BUFFER_BYTES, { dma }),
    (title, run) => test(`${title} (${name})`, run),
  );
}

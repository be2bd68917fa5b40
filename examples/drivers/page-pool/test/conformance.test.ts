import { registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import { test } from "vitest";
import { PagePoolDriver } from "../driver.ts";

const BUFFER_BYTES = 4096 - 256 - 320;

registerDriverTests((host, queue, hw) => new PagePoolDriver(host, queue, hw), BUFFER_BYTES, test);

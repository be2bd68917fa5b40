import { registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import { test } from "vitest";
import { XskZcDriver } from "../driver.ts";

/** 4096 less the kernel's headroom, in whole 128 bytes, less the shared info. */
const BUFFER_BYTES = ((4096 - 256) & ~127) - 320;

registerDriverTests((host, queue, hw) => new XskZcDriver(host, queue, hw), BUFFER_BYTES, test);

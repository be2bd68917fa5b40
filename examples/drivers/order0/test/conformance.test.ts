import { registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import { test } from "vitest";
import { Order0Driver } from "../driver.ts";

const BUFFER_BYTES = 4096 - 256 - 320;

registerDriverTests((host, queue, hw) => new Order0Driver(host, queue, hw), BUFFER_BYTES, test);

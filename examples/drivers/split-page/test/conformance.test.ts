import { createPageShared } from "@netmem/mm";
import { registerDriverTests } from "@netmem-examples/driver-stand/driver-tests";
import { test } from "vitest";
import { SplitPageDriver } from "../driver.ts";

const BUFFER_BYTES = 2048 - 256 - 320;

registerDriverTests(
  (host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw),
  BUFFER_BYTES,
  test,
);

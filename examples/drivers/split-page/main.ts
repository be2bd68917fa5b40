import { runDemo } from "@netmem-examples/driver-stand/demo";
import { createPageShared } from "@netmem/mm";
import { SplitPageDriver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new SplitPageDriver(host, createPageShared(host), queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

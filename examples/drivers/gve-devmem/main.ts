import { runDemo } from "@netmem-examples/driver-stand/demo";
import { GveDevmemDriver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new GveDevmemDriver(host, queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

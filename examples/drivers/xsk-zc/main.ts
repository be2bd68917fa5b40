import { runDemo } from "@netmem-examples/driver-stand/demo";
import { XskZcDriver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new XskZcDriver(host, queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

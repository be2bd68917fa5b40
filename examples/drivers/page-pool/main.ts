import { runDemo } from "@netmem-examples/driver-stand/demo";
import { PagePoolDriver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new PagePoolDriver(host, queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

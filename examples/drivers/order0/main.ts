import { runDemo } from "@netmem-examples/driver-stand/demo";
import { Order0Driver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new Order0Driver(host, queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

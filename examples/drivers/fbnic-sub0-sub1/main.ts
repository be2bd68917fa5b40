import { runDemo } from "@netmem-examples/driver-stand/demo";
import { FbnicDriver } from "./driver.ts";

const isRight = runDemo((host, queue, hw) => new FbnicDriver(host, queue, hw), console.log);
process.exitCode = isRight ? 0 : 1;

export { driverSuite, queueMgmtSuite } from "./driver-suite.ts";
export type { DriverSubject } from "./driver-subject.ts";

import type { Suite } from "@netmem/testing";
import type { DriverSubject } from "./driver-subject.ts";
import { receiveCases } from "./receive-cases.ts";
import { restartCases } from "./restart-cases.ts";
import { transmitCases } from "./transmit-cases.ts";

/**
 * What every queue driver must do, whatever memory it uses. Register it with any runner:
 * `runSuite(driverSuite, makeSubject, test)`.
 */
export const driverSuite: Suite<DriverSubject> = { name: "driver", cases: [...receiveCases, ...transmitCases] };

/** What a driver with queue management (`QueueDriver.mgmt`) must do besides. */
export const queueMgmtSuite: Suite<DriverSubject> = { name: "queue management", cases: restartCases };

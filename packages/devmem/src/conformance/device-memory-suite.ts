import type { Suite } from "@netmem/testing";
import type { DeviceMemorySubject } from "./device-memory-subject.ts";
import { landingCases } from "./landing-cases.ts";

/** What every device memory must do. Run it with `runSuite` of `@netmem/testing` under any test runner. */
export const deviceMemorySuite: Suite<DeviceMemorySubject> = { name: "device memory", cases: landingCases };

import type { Suite } from "@netmem/testing";
import { descriptorCases } from "./descriptor-cases.ts";
import { programCases } from "./program-cases.ts";
import type { XskTestbed } from "./testbed.ts";
import { copyCases, trafficCases } from "./traffic-cases.ts";

/**
 * The kernel's AF_XDP self-tests under the kernel's names, against any testbed. Register them with any runner:
 * `runSuite(xskSuite, makeTestbed, test)`.
 */
export const xskSuite: Suite<XskTestbed> = { name: "xsk", cases: [...trafficCases, ...descriptorCases] };

/** Those about copy mode. */
export const xskCopySuite: Suite<XskTestbed> = { name: "xsk copy mode", cases: copyCases };

/** Those with an XDP program between the ports, for testbeds that run one. */
export const xskProgramSuite: Suite<XskTestbed> = { name: "xsk program", cases: programCases };

import type { Suite } from "@netmem/testing";
import { lifeCases } from "./life-cases.ts";
import type { ProviderSubject } from "./provider-subject.ts";
import { supplyCases } from "./supply-cases.ts";
import { trafficCases } from "./traffic-cases.ts";

/**
 * What every memory provider must do, and every adaptor around one. Each case works through page pools, and every call
 * of a hook is checked on the way. Register it with any runner: `runSuite(providerSuite, makeSubject, test)`.
 */
export const providerSuite: Suite<ProviderSubject> = {
  name: "provider",
  cases: [...supplyCases, ...lifeCases, ...trafficCases],
};

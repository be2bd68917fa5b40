export { providerSuite } from "./provider-suite.ts";
export type { ProviderSubject, RefusedParams } from "./provider-subject.ts";

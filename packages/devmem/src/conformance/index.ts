export type { DeviceMemorySubject } from "./device-memory-subject.ts";
export { deviceMemorySuite } from "./device-memory-suite.ts";

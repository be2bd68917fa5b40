export { memTypeSuite } from "./mem-type-suite.ts";
export type { MemTypeSubject } from "./mem-type-subject.ts";

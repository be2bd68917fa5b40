export { xskCopySuite, xskProgramSuite, xskSuite } from "./suites.ts";
export type { LinkOptions, TestPacket, TestProgram, XskLink, XskPort, XskTestbed } from "./testbed.ts";

export { Prng, type MutableList } from "./prng.ts";
export { VirtualClock } from "./virtual-clock.ts";
export { ANY_POINT, FaultInjector, forEveryNthFailure } from "./fault-injector.ts";
export { check, CheckError, checkEqual, checkThrows } from "./check.ts";
export { runSuite, type RegisterTest, type SubjectSource, type Suite, type SuiteCase } from "./suite.ts";
export { crc32 } from "./crc32.ts";
export { foldChecksum, sumPseudoHeader, sumWords } from "./internet-checksum.ts";
export { ipv4Address, ipv6Address, macAddress } from "./addresses.ts";
export { fillPattern, findPatternMismatch } from "./payload-pattern.ts";
export { buildPacket, type PacketSpec } from "./packet-builder.ts";
export { fragmentPacket } from "./fragments.ts";
export { FlowSet, INTERNET_MIX, type FlowSetParams, type FrameSizeShare } from "./flow-set.ts";
export { type EthernetParams } from "./ethernet.ts";
export { type ArpParams } from "./arp.ts";
export { type Ipv4Params } from "./ipv4.ts";
export { type Ipv6Fragment, type Ipv6Params } from "./ipv6.ts";
export {
  TcpFlag,
  type IcmpParams,
  type RawParams,
  type TcpParams,
  type TransportParams,
  type UdpParams,
} from "./transport.ts";
export {
  exploreInterleavings,
  formatReport,
  verifyInterleavings,
  type ExploreLimits,
  type ExploreOptions,
  type InterleaveReport,
} from "./interleave/explore.ts";
export { formatFailure, InterleaveError, type InterleaveFailure } from "./interleave/failure.ts";
export { type MemoryModel } from "./interleave/memory-model.ts";
export { type FinalState, type InterleaveProgram, type ThreadBody } from "./interleave/program.ts";
export { replaySchedule, type Replay } from "./interleave/replay.ts";
export { UnsupportedAccessError } from "./interleave/unsupported-access-error.ts";
export { type FailureKind } from "./interleave/verdict.ts";

/// <reference lib="esnext.disposable" preserve="true" />
export { ArenaMap } from "./arena-map.ts";
export type { ArenaPin, ArenaWindow, FileWindowParams } from "./arena-map.ts";
export { readCapabilities } from "./capabilities.ts";
export type { Capability } from "./capabilities.ts";
export { Errno, errnoName } from "./errno.ts";
export { createHugeBacking, LinuxHugeBacking } from "./huge-backing.ts";
export type { HugeBackingParams, HugeReport } from "./huge-backing.ts";
export { readHugePageReserves, readThpBytes, readThpSetting } from "./huge-pages.ts";
export type { HugePageReserve, ThpSetting } from "./huge-pages.ts";
export type { NativePoll } from "./koffi.ts";
export { parseAddress } from "./ip-address.ts";
export { parseMemoryRegions, readMemoryRegions } from "./memory-regions.ts";
export type { MemoryRegion } from "./memory-regions.ts";
export { NativeBytes } from "./native-bytes.ts";
export { createNetNamespace, NetNamespace } from "./net-namespace.ts";
export { NetlinkAttr, NetlinkWriter, readAttributes } from "./netlink-attributes.ts";
export {
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NetlinkSocket,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from "./netlink-socket.ts";
export type { NetlinkMessage } from "./netlink-socket.ts";
export { openArenaMap } from "./open-arena-map.ts";
export { checkPlatform, reportPlatform } from "./platform.ts";
export type { PlatformReport } from "./platform.ts";
export { isKernelAtLeast, KERNEL_FLOOR, probeLinux } from "./probe.ts";
export type { Availability, LinuxReport } from "./probe.ts";
export { RouteSocket } from "./rtnetlink.ts";
export type { LinkInfo, VethEnd } from "./rtnetlink.ts";
export { receiveFds, sendFds } from "./scm-rights.ts";
export type { FdMessage } from "./scm-rights.ts";
export {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_XDP,
  CLONE_NEWNET,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PR_GET_PDEATHSIG,
  PR_SET_PDEATHSIG,
  SO_BUSY_POLL,
  SO_BUSY_POLL_BUDGET,
  SO_INCOMING_NAPI_ID,
  SO_PREFER_BUSY_POLL,
  SO_RCVBUF,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  SOL_XDP,
} from "./socket-abi.ts";
export { isSystemCallError, SystemCallError } from "./system-call-error.ts";
export type { SystemCallContext } from "./system-call-error.ts";
export { openSystem, Resource, System } from "./system.ts";
export type { ResourceLimit, ResourceName } from "./system.ts";
export { PollSet, Wakeup } from "./wakeup.ts";
export { BpfAssembler } from "./bpf/assembler.ts";
export { BpfMapType } from "./bpf/bpf-abi.ts";
export { BpfMap, createBpfMap, openPinnedMap } from "./bpf/bpf-map.ts";
export type { BpfMapParams } from "./bpf/bpf-map.ts";
export type { FilterRule } from "./bpf/filter-rule.ts";
export {
  Alu,
  Helper,
  Jmp,
  Reg,
  Size,
  XDP_MD_DATA,
  XDP_MD_DATA_END,
  XDP_MD_RX_QUEUE_INDEX,
  XdpAction,
} from "./bpf/opcodes.ts";
export { compileXdpFilter } from "./bpf/xdp-filter.ts";
export { attachXdp, XdpLink } from "./bpf/xdp-link.ts";
export type { AttachXdpParams, XdpMode } from "./bpf/xdp-link.ts";
export { loadXdpProgram, XdpProgram, xdpProgramName } from "./bpf/xdp-program.ts";
export type { LiveFramesParams, XdpProgramParams, XdpTestResult } from "./bpf/xdp-program.ts";
export { defaultRouteInterfaces } from "./netlink/default-route.ts";
export { readChannels, setChannels } from "./netlink/ethtool-channels.ts";
export type { ChannelCounts, Channels } from "./netlink/ethtool-channels.ts";
export { Genetlink } from "./netlink/genetlink.ts";
export type { GenetlinkRequest } from "./netlink/genetlink.ts";
export { NetdevFamily, XdpFeature } from "./netlink/netdev-family.ts";
export type {
  KernelDevice,
  KernelList,
  KernelNapi,
  KernelPagePool,
  KernelPagePoolStats,
  KernelQueue,
} from "./netlink/netdev-family.ts";
export { readInterface } from "./netlink/xdp-attachment.ts";
export type { InterfaceInfo, XdpAttachment } from "./netlink/xdp-attachment.ts";

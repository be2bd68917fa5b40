/*
 * Numbers of the kernel's socket interface, as on every processor that we support. Those of one protocol (AF_XDP,
 * rtnetlink) stand with the code that speaks it.
 */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const AF_XDP = 44;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;

export const SOL_SOCKET = 1;
export const SOL_NETLINK = 270;
export const SOL_XDP = 283;

export const SO_RCVTIMEO = 20;
export const SO_RCVBUF = 8;
export const SO_BUSY_POLL = 46;
export const SO_INCOMING_NAPI_ID = 56;
export const SO_PREFER_BUSY_POLL = 69;
export const SO_BUSY_POLL_BUDGET = 70;

export const MSG_PEEK = 2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

export const CLONE_NEWNET = 0x40000000;

/** Options of prctl: the signal that this process gets when the thread that started it ends. */
export const PR_SET_PDEATHSIG = 1;
export const PR_GET_PDEATHSIG = 2;

import { NetmemError } from "@netmem/core";

/** Throws `ERR_NETMEM_SOCKET_CLOSED` (EBADF). */
export function failClosed(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_SOCKET_CLOSED",
    errno: "EBADF",
    reason: "the socket is closed",
    remedy: "Closing returned every token; receive through another socket.",
  });
}

/** Throws `ERR_NETMEM_NOT_TCP` (EBADF). */
export function failProtocol(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NOT_TCP",
    errno: "EBADF",
    reason: "the socket is not a TCP socket",
    remedy: "Only TCP sockets hand out device memory.",
    param: "protocol",
    value: "udp",
  });
}

/** Throws `ERR_NETMEM_UNREADABLE` (EFAULT): device memory for a caller that did not ask for it. */
export function failUnreadable(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNREADABLE",
    errno: "EFAULT",
    reason: "the next bytes are memory that the CPU cannot read",
    remedy: "Receive with MSG_SOCK_DEVMEM, on a TCP socket; the packet stays queued.",
    param: "flags",
  });
}

/** Throws `ERR_NETMEM_NOT_DEVMEM` (ENODEV). */
export function failNotDevmem(ref: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NOT_DEVMEM",
    errno: "ENODEV",
    reason: `fragment 0x${ref.toString(16)} of the next packet is no memory of a devmem binding`,
    remedy: "Steer such packets elsewhere; discard() drops this one.",
    param: "ref",
    value: ref,
  });
}

/** Throws `ERR_NETMEM_TOKEN_RANGES` (EINVAL). */
export function failRanges(words: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_TOKEN_RANGES",
    errno: "EINVAL",
    reason: `${words} words are not up to 128 pairs of token and count`,
    remedy: "Pass whole pairs, 128 at a time.",
    param: "words",
    value: words,
  });
}

/** Throws `ERR_NETMEM_TOKEN_UNKNOWN` (ENOENT). */
export function failToken(token: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_TOKEN_UNKNOWN",
    errno: "ENOENT",
    reason: `token ${token} is not out`,
    remedy: "Return each token once, to the socket that gave it.",
    param: "token",
    value: token,
  });
}

/** Throws `ERR_NETMEM_TOKENS_MIXED` (EINVAL). */
export function failMixed(count: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_TOKENS_MIXED",
    errno: "EINVAL",
    reason: `the ${count} tokens are not all of one device memory`,
    remedy: "Work on the tokens of one dma-buf id at a time.",
    param: "tokens",
    value: count,
  });
}

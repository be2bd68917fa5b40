import type { Koffi, NativeFunction } from "./koffi.ts";

type LibcName =
  | "socket"
  | "socketpair"
  | "bind"
  | "connect"
  | "getsockname"
  | "close"
  | "setsockopt"
  | "getsockopt"
  | "send"
  | "recv"
  | "sendmsg"
  | "recvmsg"
  | "sendto"
  | "recvfrom"
  | "poll"
  | "ioctl"
  | "mmap"
  | "munmap"
  | "mremap"
  | "memfd_create"
  | "madvise"
  | "mlock"
  | "munlock"
  | "prctl"
  | "prlimit"
  | "setns"
  | "unshare"
  | "if_nametoindex"
  | "syscall";

type Signature = readonly [result: string, args: readonly string[]];

/*
 * Signatures in koffi's words. `size_t` for every address and length: passed as Numbers, which measured fastest.
 * `void *` where a typed array is passed for the duration of the call. Variadic functions (ioctl, prctl, syscall) are
 * called with fixed arguments, which is the same on the processors that we support.
 */
const SIGNATURES: Readonly<Record<LibcName, Signature>> = {
  socket: ["int", ["int", "int", "int"]],
  socketpair: ["int", ["int", "int", "int", "void *"]],
  bind: ["int", ["int", "void *", "uint32_t"]],
  connect: ["int", ["int", "void *", "uint32_t"]],
  getsockname: ["int", ["int", "void *", "size_t"]],
  close: ["int", ["int"]],
  setsockopt: ["int", ["int", "int", "int", "void *", "uint32_t"]],
  getsockopt: ["int", ["int", "int", "int", "void *", "size_t"]],
  send: ["intptr_t", ["int", "void *", "size_t", "int"]],
  recv: ["intptr_t", ["int", "void *", "size_t", "int"]],
  sendmsg: ["intptr_t", ["int", "size_t", "int"]],
  recvmsg: ["intptr_t", ["int", "size_t", "int"]],
  sendto: ["intptr_t", ["int", "size_t", "size_t", "int", "size_t", "uint32_t"]],
  recvfrom: ["intptr_t", ["int", "size_t", "size_t", "int", "size_t", "size_t"]],
  poll: ["int", ["size_t", "size_t", "int"]],
  ioctl: ["int", ["int", "size_t", "void *"]],
  mmap: ["intptr_t", ["size_t", "size_t", "int", "int", "int", "int64_t"]],
  munmap: ["int", ["size_t", "size_t"]],
  mremap: ["intptr_t", ["size_t", "size_t", "size_t", "int", "size_t"]],
  memfd_create: ["int", ["str", "uint32_t"]],
  madvise: ["int", ["size_t", "size_t", "int"]],
  mlock: ["int", ["size_t", "size_t"]],
  munlock: ["int", ["size_t", "size_t"]],
  prctl: ["int", ["int", "size_t", "size_t", "size_t", "size_t"]],
  prlimit: ["int", ["int", "int", "size_t", "size_t"]],
  setns: ["int", ["int", "int"]],
  unshare: ["int", ["int"]],
  if_nametoindex: ["uint32_t", ["str"]],
  syscall: ["intptr_t", ["intptr_t", "size_t", "void *", "size_t"]],
};

/** The functions of the C library that we call, unchecked: they return -1 and leave the reason in koffi's `errno`. */
export type Libc = Readonly<Record<LibcName, NativeFunction>>;

/** Looks the functions up in the C library of this process, glibc or musl. */
export function bindLibc(koffi: Koffi): Libc {
  const library = koffi.load(null);
  const bound = Object.entries(SIGNATURES).map(([name, [result, args]]) => [name, library.func(name, result, args)]);
  return Object.fromEntries(bound) as Libc;
}

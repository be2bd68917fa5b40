import { NetmemError } from "@netmem/core";
import { errnoName } from "./errno.ts";

/** What the caller of a failed call knows about it. */
export interface SystemCallContext {
  /** What was being done, for the message: "bind the AF_XDP socket to queue 3 of veth0". */
  readonly action?: string;
  readonly param?: string;
  readonly value?: unknown;
  /** Replaces the remedy found by call and errno. */
  readonly remedy?: string;
}

/** A system call that the kernel refused. `code` is `ERR_NETMEM_SYSTEM_CALL`; tell them apart by `call` and `errno`. */
export class SystemCallError extends NetmemError {
  /** Name of the system call, or of the request inside it: "bind", "bpf", "netlink RTM_NEWLINK". */
  readonly call: string;

  constructor(call: string, errno: number, context: SystemCallContext = {}) {
    const name = errnoName(errno);
    const { action = call, param, value } = context;
    super({
      code: "ERR_NETMEM_SYSTEM_CALL",
      errno: name,
      reason: `cannot ${action}: ${call} returned ${name}`,
      remedy: context.remedy ?? remedyFor(call, name),
      param: param ?? "call",
      value: value ?? call,
    });
    this.call = call;
  }
}

/** True for a {@link SystemCallError} of any copy of this package. */
export function isSystemCallError(error: unknown): error is SystemCallError {
  return error instanceof Error && (error as Partial<SystemCallError>).code === "ERR_NETMEM_SYSTEM_CALL";
}

/* First what is known about one call, then what an errno means anywhere. Calls match by their first word. */
const BY_CALL: Readonly<Record<string, string>> = {
  "socket EPERM": "Give the process CAP_NET_RAW, or receive an open socket from a process that has it.",
  "socket EAFNOSUPPORT":
    "Use a kernel with this socket family: AF_XDP needs CONFIG_XDP_SOCKETS and Linux 5.4 or newer.",
  "bpf EPERM": "Give the process CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.",
  "bpf ENOSYS": "Use a kernel with CONFIG_BPF_SYSCALL.",
  "bpf EBUSY": "Another XDP program is attached there: detach it, or join its XSKMAP.",
  "bpf ERANGE": "Lower the MTU of the interface, or load the program with support for fragments.",
  "bind EBUSY": "Another socket has that queue, or the last one is still releasing it: retry, or take another queue.",
  "bind ENODEV": "Name an interface of this network namespace.",
  "bind EINVAL": "Take a queue that the interface has, and only flags that go together.",
  "bind EOPNOTSUPP": "The driver has no zero-copy mode for that queue: bind in copy mode.",
  "setsockopt ENOBUFS": "Raise RLIMIT_MEMLOCK (ulimit -l), give the process CAP_IPC_LOCK, or register less memory.",
  "mmap ENOMEM": "Free memory, raise vm.max_map_count or RLIMIT_AS, or reserve more huge pages (vm.nr_hugepages).",
  "mmap EPERM": "Huge pages need CAP_IPC_LOCK or the group of vm.hugetlb_shm_group where the kernel limits them.",
  "mlock ENOMEM": "Raise RLIMIT_MEMLOCK (ulimit -l), or give the process CAP_IPC_LOCK.",
  "mlock EPERM": "Raise RLIMIT_MEMLOCK (ulimit -l), or give the process CAP_IPC_LOCK.",
  "madvise ENOMEM": "Not enough free memory behind the range: free some, or lower the number of pages.",
  "madvise EINVAL": "The kernel does not know this advice; MADV_POPULATE_WRITE needs Linux 5.14, MADV_COLLAPSE 6.1.",
  "unshare EPERM": "Give the process CAP_SYS_ADMIN.",
  "unshare EINVAL": "Use a kernel with network namespaces (CONFIG_NET_NS).",
  "setns EPERM": "Give the process CAP_SYS_ADMIN.",
  "netlink EPERM": "Give the process CAP_NET_ADMIN.",
  "netlink EOPNOTSUPP": "The kernel or the driver has no support for this request.",
  "netlink ENODEV": "Name an interface of this network namespace.",
  "netlink EEXIST": "Take another name, or remove what has it.",
  "prlimit EPERM": "Raising a hard limit needs CAP_SYS_RESOURCE.",
  "sendto ENETDOWN": "Bring the interface up.",
  "sendto ENXIO": "Bind the socket first; or the interface went away.",
};

const BY_ERRNO: Readonly<Record<string, string>> = {
  EPERM: "Run with the capability that the call needs, or as root.",
  EACCES: "Run with the capability that the call needs, or as root.",
  EBUSY: "Somebody else holds the resource: release it, or retry.",
  ENOMEM: "Free memory or lower the sizes asked for.",
  ENOBUFS: "The kernel is out of buffers or over a limit: drain what is pending, or raise the limit.",
  ENODEV: "Name an interface that exists here.",
  ENETDOWN: "Bring the interface up.",
  EMFILE: "Close file descriptors, or raise RLIMIT_NOFILE (ulimit -n).",
  ENFILE: "The machine is out of open files: raise fs.file-max.",
  ENOSYS: "Use a kernel that has this call.",
  EOPNOTSUPP: "The kernel or the driver has no support for this.",
  EBADF: "Pass a file descriptor that is open.",
  EINVAL: "Check the arguments: the kernel found one out of range.",
  EAGAIN: "Nothing to do right now: wait with poll, then retry.",
};

function remedyFor(call: string, errno: string): string {
  const [first = call] = call.split(" ", 1);
  return BY_CALL[`${first} ${errno}`] ?? BY_ERRNO[errno] ?? "See the errno in the manual page of the call.";
}

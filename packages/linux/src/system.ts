import { checkInt } from "@netmem/core";
import { type Koffi, loadKoffi, type NativePoll } from "./koffi.ts";
import { bindLibc, type Libc } from "./libc.ts";
import { NativeBytes } from "./native-bytes.ts";
import { builtin } from "./node-builtins.ts";
import { SystemCallError, type SystemCallContext } from "./system-call-error.ts";

const BPF_SYSCALL: Readonly<Record<string, number>> = { x64: 321, arm64: 280, riscv64: 280, loong64: 280 };
const INT_BYTES = 4;
const RLIMIT_BYTES = 16;
const RLIM_INFINITY = 2n ** 64n - 1n;

/** A limit of the process; Infinity where there is none. */
export interface ResourceLimit {
  readonly soft: number;
  readonly hard: number;
}

/** Resources of {@link System.getLimit}. Units: files, bytes, bytes. */
export const Resource = { openFiles: 7, memlockBytes: 8, addressSpaceBytes: 9 } as const;
export type ResourceName = keyof typeof Resource;

/**
 * The system calls, on the thread that opened it. Each returns what the kernel returns, or `-errno`; none throws.
 * {@link check} turns a negative result into a {@link SystemCallError}. Control path: calls per packet or burst are
 * those of `Wakeup`.
 */
export class System {
  /** @internal For the other files of this package. */
  readonly libc: Libc;
  /** @internal */
  readonly koffi: Koffi;
  private readonly bpfNumber: number;
  private readonly limits: NativeBytes;
  private readonly length: NativeBytes;

  /** @internal Use {@link openSystem}. */
  constructor(koffi: Koffi, arch: string) {
    this.koffi = koffi;
    this.libc = bindLibc(koffi);
    this.bpfNumber = BPF_SYSCALL[arch] ?? 0;
    this.limits = this.allocBytes(2 * RLIMIT_BYTES);
    this.length = this.allocBytes(INT_BYTES);
  }

  /** `size` zeroed bytes whose address stays the same while the object is referenced. */
  allocBytes(size: number): NativeBytes {
    const u8 = new Uint8Array(new ArrayBuffer(checkInt("size", size, 1, 2 ** 30)));
    return new NativeBytes(u8, this.addressOf(u8));
  }

  /**
   * Address of the first byte of a view. It stays valid for views over an `ArrayBuffer`, `SharedArrayBuffer` or
   * `WebAssembly.Memory` that somebody made as such, and for as long as that is referenced; not for small typed arrays
   * made directly, which V8 may move.
   */
  addressOf(memory: ArrayBufferView): number {
    return Number(this.koffi.address(memory));
  }

  /** Returns a result that is no error. @throws {@link SystemCallError} for `-errno`. */
  check(call: string, result: number, context?: SystemCallContext): number {
    if (result < 0) throw new SystemCallError(call, -result, context);
    return result;
  }

  socket(domain: number, type: number, protocol: number): number {
    return this.errnoOr(this.libc.socket(domain, type, protocol));
  }

  /** Two connected sockets in `fds[0]` and `fds[1]`. */
  socketPair(domain: number, type: number, fds: Int32Array): number {
    return this.errnoOr(this.libc.socketpair(domain, type, 0, fds));
  }

  /** `address`: the `sockaddr` structure. */
  bind(fd: number, address: Uint8Array): number {
    return this.errnoOr(this.libc.bind(fd, address, address.byteLength));
  }

  connect(fd: number, address: Uint8Array): number {
    return this.errnoOr(this.libc.connect(fd, address, address.byteLength));
  }

  /** Fills `address`; returns the bytes of it that the kernel has. */
  getSocketName(fd: number, address: Uint8Array): number {
    this.length.view.setUint32(0, address.byteLength, true);
    const result = this.errnoOr(this.libc.getsockname(fd, address, this.length.address));
    return result < 0 ? result : this.length.view.getUint32(0, true);
  }

  close(fd: number): number {
    return this.errnoOr(this.libc.close(fd));
  }

  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number {
    return this.errnoOr(this.libc.setsockopt(fd, level, option, value, value.byteLength));
  }

  /** As {@link setsockopt}, for the options that are an `int`. */
  setsockoptInt(fd: number, level: number, option: number, value: number): number {
    return this.setsockopt(fd, level, option, new Uint8Array(Int32Array.of(value).buffer));
  }

  /** Fills `value`; returns the bytes of it that the kernel wrote. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array): number {
    this.length.view.setUint32(0, value.byteLength, true);
    const result = this.errnoOr(this.libc.getsockopt(fd, level, option, value, this.length.address));
    return result < 0 ? result : this.length.view.getUint32(0, true);
  }

  /** Returns the bytes sent. `bytes` may be a view of shared memory. */
  send(fd: number, bytes: Uint8Array, flags: number): number {
    return this.errnoOr(this.libc.send(fd, bytes, bytes.byteLength, flags));
  }

  /** Returns the bytes received; with MSG_TRUNC the bytes of the message. */
  recv(fd: number, bytes: Uint8Array, flags: number): number {
    return this.errnoOr(this.libc.recv(fd, bytes, bytes.byteLength, flags));
  }

  /** `argument`: the structure that the request reads and writes, or null. */
  ioctl(fd: number, request: number, argument: Uint8Array | null): number {
    return this.errnoOr(this.libc.ioctl(fd, request, argument));
  }

  /** `attr`: as much of the `bpf_attr` union as the command has. */
  bpf(command: number, attr: Uint8Array): number {
    return this.errnoOr(this.libc.syscall(this.bpfNumber, command, attr, attr.byteLength));
  }

  /** Moves this thread, and no other, into the namespace that `fd` names. See `NetNamespace` for the safe form. */
  setns(fd: number, type: number): number {
    return this.errnoOr(this.libc.setns(fd, type));
  }

  /** Moves this thread, and no other, into new namespaces. */
  unshare(flags: number): number {
    return this.errnoOr(this.libc.unshare(flags));
  }

  prctl(option: number, a = 0, b = 0, c = 0, d = 0): number {
    return this.errnoOr(this.libc.prctl(option, a, b, c, d));
  }

  /** @throws {@link SystemCallError}. */
  getLimit(name: ResourceName): ResourceLimit {
    const { view, address } = this.limits;
    this.check("prlimit", this.errnoOr(this.libc.prlimit(0, Resource[name], 0, address + RLIMIT_BYTES)));
    return { soft: readLimit(view, RLIMIT_BYTES), hard: readLimit(view, RLIMIT_BYTES + 8) };
  }

  /** Sets both limits of this process. Returns 0 or `-errno`: `-EPERM` where the hard limit would rise. */
  setLimit(name: ResourceName, { soft, hard }: ResourceLimit): number {
    writeLimit(this.limits.view, 0, soft);
    writeLimit(this.limits.view, 8, hard);
    return this.errnoOr(this.libc.prlimit(0, Resource[name], this.limits.address, 0));
  }

  /** Index of an interface in this thread's network namespace, or `-ENODEV`. */
  ifNameToIndex(name: string): number {
    const index = this.libc.if_nametoindex(name);
    return index === 0 ? -this.koffi.errno() : index;
  }

  /** Calls `ready` on the event loop whenever the file descriptor is. Close the handle before the descriptor. */
  watch(fd: number, events: { readable?: boolean; writable?: boolean }, ready: () => void): NativePoll {
    return this.koffi.node.poll(fd, events, ready);
  }

  /** @internal `-errno` for a failed call; must come right after it. */
  errnoOr(result: number): number {
    return result < 0 ? -this.koffi.errno() : result;
  }
}

function readLimit(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value === RLIM_INFINITY ? Infinity : Number(value);
}

function writeLimit(view: DataView, at: number, limit: number): void {
  view.setBigUint64(at, limit === Infinity ? RLIM_INFINITY : BigInt(limit), true);
}

/**
 * Loads koffi and looks up the calls. Each thread opens its own; about 1 ms when koffi is loaded already, 10 ms before.
 * @throws `ERR_NETMEM_UNSUPPORTED_PLATFORM` (ENOSYS), `ERR_NETMEM_KOFFI_MISSING` (ENOSYS).
 */
export function openSystem(): System {
  const koffi = loadKoffi();
  return new System(koffi, builtin("node:os").arch());
}

import { closeSync, ftruncateSync, fstatSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { expect } from "vitest";
import {
  AF_INET,
  AF_UNIX,
  Errno,
  MSG_DONTWAIT,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PR_GET_PDEATHSIG,
  PR_SET_PDEATHSIG,
  receiveFds,
  sendFds,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOL_SOCKET,
  type System,
  Wakeup,
} from "../src/index.ts";
import { createMemoryFile } from "../src/virtual-memory.ts";
import { linuxTest } from "./linux-needs.ts";

const LOOPBACK = Uint8Array.of(2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
const UNKNOWN_OPTION = 9999;
const SIGTERM = 15;

function socketPair(system: System): [number, number] {
  const fds = new Int32Array(2);
  system.check("socketpair", system.socketPair(AF_UNIX, SOCK_SEQPACKET, fds));
  return [fds[0]!, fds[1]!];
}

const openFdCount = (): number => readdirSync("/proc/self/fd").length;

linuxTest("raw calls return what the kernel returns, and -errno where it refuses", [], (system) => {
  const fd = system.socket(AF_INET, SOCK_DGRAM, 0);
  expect(fd).toBeGreaterThan(2);
  expect(system.bind(fd, LOOPBACK)).toBe(0);
  const address = new Uint8Array(16);
  expect(system.getSocketName(fd, address)).toBe(16);
  expect([...address.subarray(4, 8)]).toEqual([127, 0, 0, 1]);
  expect(system.connect(fd, address)).toBe(0);
  expect(system.send(fd, Uint8Array.of(1, 2, 3), 0)).toBe(3);
  const got = new Uint8Array(8);
  expect(system.recv(fd, got, MSG_DONTWAIT)).toBe(3);
  expect([...got.subarray(0, 4)]).toEqual([1, 2, 3, 0]);
  expect(system.recv(fd, got, MSG_DONTWAIT)).toBe(-Errno.EAGAIN);
  expect(system.bind(fd, LOOPBACK.subarray(0, 4))).toBe(-Errno.EINVAL);
  expect(system.close(fd)).toBe(0);
  expect(system.close(fd)).toBe(-Errno.EBADF);
  expect(system.socket(AF_INET, 99, 0)).toBe(-Errno.EINVAL);
  expect(system.bpf(UNKNOWN_OPTION, new Uint8Array(16))).toBeLessThan(0);
  expect(system.ioctl(-1, 0, null)).toBe(-Errno.EBADF);
  expect(system.setns(-1, 0)).toBe(-Errno.EBADF);
});

linuxTest("socket options are set and read; the length is the kernel's", [], (system) => {
  const [a, b] = socketPair(system);
  expect(system.setsockoptInt(a, SOL_SOCKET, SO_RCVBUF, 65536)).toBe(0);
  const value = new Uint8Array(8);
  expect(system.getsockopt(a, SOL_SOCKET, SO_RCVBUF, value)).toBe(4);
  expect(new DataView(value.buffer).getUint32(0, true)).toBe(131072);
  expect(system.setsockoptInt(a, SOL_SOCKET, UNKNOWN_OPTION, 1)).toBe(-Errno.ENOPROTOOPT);
  expect(system.getsockopt(a, SOL_SOCKET, UNKNOWN_OPTION, value)).toBe(-Errno.ENOPROTOOPT);
  [a, b].forEach((fd) => system.close(fd));
});

linuxTest("bytes come from shared memory and go into it", [], (system) => {
  const [a, b] = socketPair(system);
  const shared = new Uint8Array(new SharedArrayBuffer(64));
  shared.set([1, 2, 3], 10);
  expect(system.send(a, shared.subarray(10, 13), 0)).toBe(3);
  expect(system.recv(b, shared.subarray(40), 0)).toBe(3);
  expect([...shared.subarray(38, 45)]).toEqual([0, 0, 1, 2, 3, 0, 0]);
  [a, b].forEach((fd) => system.close(fd));
});

linuxTest("limits are read, and changed within the hard one", [], (system) => {
  const { soft, hard } = system.getLimit("openFiles");
  expect(soft).toBeGreaterThan(0);
  expect(hard).toBeGreaterThanOrEqual(soft);
  expect(system.setLimit("openFiles", { soft: soft - 1, hard })).toBe(0);
  expect(system.getLimit("openFiles")).toEqual({ soft: soft - 1, hard });
  expect(system.setLimit("openFiles", { soft, hard })).toBe(0);
  expect(system.setLimit("openFiles", { soft: hard + 1, hard })).toBe(-Errno.EINVAL);
  expect(system.getLimit("addressSpaceBytes").hard).toBe(Infinity);
});

linuxTest("interfaces have an index or an errno", [], (system) => {
  expect(system.ifNameToIndex("lo")).toBeGreaterThan(0);
  expect(system.ifNameToIndex("no-such-link")).toBe(-Errno.ENODEV);
});

linuxTest("a process can ask for a signal when its parent ends", [], (system) => {
  const signal = system.allocBytes(4);
  expect(system.prctl(PR_SET_PDEATHSIG, SIGTERM)).toBe(0);
  expect(system.prctl(PR_GET_PDEATHSIG, signal.address)).toBe(0);
  expect(signal.view.getInt32(0, true)).toBe(SIGTERM);
  expect(system.prctl(PR_SET_PDEATHSIG, 0)).toBe(0);
  expect(system.prctl(UNKNOWN_OPTION)).toBe(-Errno.EINVAL);
});

linuxTest("check passes results through and throws what was refused", [], (system) => {
  expect(system.check("bind", 0)).toBe(0);
  expect(() => system.check("bind", -Errno.EBUSY, { param: "queue", value: 3 })).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_SYSTEM_CALL", errno: "EBUSY", call: "bind", param: "queue", value: 3 }),
  );
});

linuxTest("addresses of native bytes stay the same through garbage collections", [], (system) => {
  const bytes = system.allocBytes(64);
  bytes.setPointer(8, 2 ** 47 - 1);
  for (let n = 0; n < 50; n++) new Uint8Array(2 ** 20).fill(n);
  globalThis.gc?.();
  expect(system.addressOf(bytes.u8)).toBe(bytes.address);
  expect(bytes.view.getBigUint64(8, true)).toBe(2n ** 47n - 1n);
  expect(() => system.allocBytes(0)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
});

linuxTest("descriptors travel both ways, with bytes, and arrive open", [], (system) => {
  const before = openFdCount();
  const [a, b] = socketPair(system);
  const file = createMemoryFile(system, "travels");
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    ftruncateSync(file, 0);
    writeSync(file, "hello", 0);
    expect(sendFds(system, from, Uint8Array.of(7, 8), [file, file])).toBe(2);
    const message = receiveFds(system, to, 16);
    if (typeof message === "number") throw new Error(`receiveFds: ${message}`);
    expect([...message.bytes]).toEqual([7, 8]);
    expect(message.truncated).toBe(false);
    expect(message.fds.map((fd) => fstatSync(fd).ino)).toEqual([fstatSync(file).ino, fstatSync(file).ino]);
    const text = new Uint8Array(5);
    readSync(message.fds[0]!, text, 0, 5, 0);
    expect(new TextDecoder().decode(text)).toBe("hello");
    message.fds.forEach((fd) => closeSync(fd));
  }
  expect(receiveFds(system, b, 16, MSG_DONTWAIT)).toBe(-Errno.EAGAIN);
  expect(sendFds(system, a, Uint8Array.of(1), [])).toBe(1);
  expect(receiveFds(system, b, 16)).toMatchObject({ fds: [], truncated: false });
  expect(sendFds(system, a, Uint8Array.of(1), [-1])).toBe(-Errno.EBADF);
  system.close(a);
  expect(receiveFds(system, b, 16)).toMatchObject({ bytes: new Uint8Array(0), fds: [] });
  [b, file].forEach((fd) => system.close(fd));
  expect(openFdCount()).toBe(before);
});

linuxTest("no more than 253 descriptors travel, and never without a byte", [], (system) => {
  const invalid = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" });
  const many = Array.from({ length: 254 }, () => 0);
  expect(() => sendFds(system, -1, Uint8Array.of(1), many)).toThrow(invalid);
  expect(() => sendFds(system, -1, new Uint8Array(0), [])).toThrow(invalid);
});

linuxTest("poll sees one descriptor, or any of a set", [], (system) => {
  const wakeup = new Wakeup(system);
  const [a, b] = socketPair(system);
  expect(wakeup.pollOne(a, POLLIN, 0)).toBe(0);
  expect(wakeup.pollOne(a, POLLIN | POLLOUT, 0)).toBe(POLLOUT);
  system.send(b, Uint8Array.of(1), 0);
  expect(wakeup.pollOne(a, POLLIN, -1)).toBe(POLLIN);
  const set = wakeup.createPollSet(3);
  const slots = [a, b, -1].map((fd) => set.add(fd, POLLIN));
  expect(slots).toEqual([0, 1, 2]);
  expect(wakeup.poll(set, 0)).toBe(1);
  expect(slots.map((slot) => set.seen(slot))).toEqual([POLLIN, 0, 0]);
  set.setEvents(0, 0);
  set.setEvents(1, POLLOUT);
  expect(wakeup.poll(set, 0)).toBe(1);
  expect(slots.map((slot) => set.seen(slot))).toEqual([0, POLLOUT, 0]);
  expect(() => set.add(a, POLLIN)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
  [a, b].forEach((fd) => system.close(fd));
  expect(wakeup.pollOne(a, POLLIN, 0)).toBe(POLLNVAL);
});

linuxTest("kicks return -errno and move nothing", [], (system) => {
  const wakeup = new Wakeup(system);
  const [a, b] = socketPair(system);
  expect(wakeup.kickRx(a)).toBe(-Errno.EAGAIN);
  expect(wakeup.kickRx(-1)).toBe(-Errno.EBADF);
  expect(wakeup.kickTx(-1)).toBe(-Errno.EBADF);
  [a, b].forEach((fd) => system.close(fd));
  expect(wakeup.kickTx(a)).toBe(-Errno.EBADF);
});

linuxTest("the event loop wakes for a watched descriptor", [], async (system) => {
  const [a, b] = socketPair(system);
  const ready = Promise.withResolvers<void>();
  const handle = system.watch(a, { readable: true }, () => ready.resolve());
  system.send(b, Uint8Array.of(1), 0);
  await ready.promise;
  handle.close();
  [a, b].forEach((fd) => system.close(fd));
});

linuxTest("what a test opens it closes", [], (system) => {
  const before = openFdCount();
  const fd = openSync("/proc/self/status", "r");
  expect(openFdCount()).toBe(before + 1);
  expect(system.close(fd)).toBe(0);
  expect(openFdCount()).toBe(before);
});

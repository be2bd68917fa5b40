import type { PageRef } from "@netmem/core";
import { createIommuDevice, withBalance } from "@netmem/dma";
import { describe, expect, test } from "vitest";
import { BindFlag, type BindParams, UmemFlag, type XskSocket } from "../src/index.ts";
import { codeOf, IFINDEX, makeHost, makeSocket, makeUmem, setAllRings, type SocketRig } from "./fixture.ts";

const { SharedUmem, Copy, ZeroCopy, UseSg, UseNeedWakeup } = BindFlag;
const says = (errno: string, param: string): string => `ERR_NETMEM_XSK_BIND ${errno} ${param}`;
const bind = (socket: XskSocket, params: Partial<BindParams> = {}): string =>
  codeOf(() => socket.bind({ ifindex: IFINDEX, queueIdx: 1, ...params }));

/** A socket that is ready to bind. */
function ready({ kernel, host }: SocketRig, umemParams = {}): XskSocket {
  const socket = kernel.createSocket();
  socket.registerUmem(makeUmem(host, umemParams));
  setAllRings(socket, 16);
  return socket;
}

test("bind without memory for the packets of copy mode: nothing has changed, and it can be tried again", () => {
  const rig = makeSocket();
  const { host } = rig;
  const socket = ready(rig);
  const pages: PageRef[] = [];
  // One free page is left, which is enough for everything but the packet.
  for (let page = host.pages.allocPages(0); page !== 0; page = host.pages.allocPages(0)) pages.push(page);
  for (let n = 0; n < 8; n++) host.pages.freePage(pages.pop()!);
  const before = [host.pages.freePageCount(), host.areas.list().length];
  expect(bind(socket)).toBe("ERR_NETMEM_NO_MEMORY ENOMEM order");
  expect([host.pages.freePageCount(), host.areas.list().length]).toEqual(before);
  expect([socket.isBound, rig.device.pools[1], socket.layouts.fill === null]).toEqual([false, null, false]);
  for (const page of pages) host.pages.freePage(page);
  expect([bind(socket), socket.sendto()]).toEqual(["no error", 0]);
  socket.close();
});

describe("errors of bind, one at a time", () => {
  test("5.7 family, flags, device, rings, UMEM, queue", () => {
    const rig = makeSocket();
    const socket = rig.kernel.createSocket();
    expect(bind(socket, { family: 2, flags: 64, ifindex: 99 })).toBe(says("EINVAL", "family"));
    expect(bind(socket, { flags: 64, ifindex: 99 })).toBe(says("EINVAL", "flags"));
    expect(bind(socket, { ifindex: 99 })).toBe(says("ENODEV", "ifindex"));
    expect(bind(socket)).toBe(says("EINVAL", "rings"));
    socket.setRing("rx", 8);
    expect(bind(socket)).toBe(says("EINVAL", "umem"));
    socket.registerUmem(makeUmem(rig.host));
    expect(bind(socket)).toBe(says("EINVAL", "rings"));
    socket.setRing("fill", 8);
    expect(bind(socket)).toBe(says("EINVAL", "rings"));
    socket.setRing("completion", 8);
    expect(bind(socket, { queueIdx: 2 })).toBe(says("EINVAL", "queueIdx"));
    expect(bind(socket, { flags: Copy | ZeroCopy })).toBe(says("EINVAL", "flags"));
    expect(bind(socket)).toBe("no error");
    expect(bind(socket)).toBe(says("EBUSY", "socket"));
  });

  test("#305 a second socket with a UMEM of its own on the queue: EBUSY", () => {
    const rig = makeSocket();
    expect(bind(ready(rig), { queueIdx: 0 })).toBe(says("EBUSY", "queueIdx"));
  });

  test("5.7 shared UMEM: other flags, own UMEM, what is no bound XDP socket", () => {
    const rig = makeSocket();
    const socket = rig.kernel.createSocket();
    socket.setRing("rx", 8);
    const shared = { flags: SharedUmem, queueIdx: 0, sharedFd: rig.socket.fd };
    for (const flag of [Copy, ZeroCopy, UseNeedWakeup, UseSg]) {
      expect(bind(socket, { ...shared, flags: SharedUmem | flag })).toBe(says("EINVAL", "flags"));
    }
    expect(bind(ready(rig), shared)).toBe(says("EINVAL", "umem"));
    expect(bind(socket, { ...shared, sharedFd: 999 })).toBe(says("ENOTSOCK", "sharedFd"));
    expect(bind(socket, { ...shared, sharedFd: rig.kernel.openOther("file") })).toBe(says("ENOTSOCK", "sharedFd"));
    expect(bind(socket, { ...shared, sharedFd: rig.kernel.openOther("socket") })).toBe(says("ENOPROTOOPT", "sharedFd"));
    expect(bind(socket, { ...shared, sharedFd: rig.kernel.createSocket().fd })).toBe(says("EBADF", "sharedFd"));
    expect(bind(socket, { ...shared, queueIdx: 1 })).toBe(says("EINVAL", "rings"));
    const owner = rig.kernel.createSocket();
    setAllRings(owner, 8);
    expect(bind(owner, shared)).toBe(says("EINVAL", "rings"));
    expect(bind(socket, shared)).toBe("no error");
  });

  test("5.7 zero copy refused: an error when forced, copies otherwise", () => {
    const cases = [
      [{}, 0, "EOPNOTSUPP"],
      [{ zeroCopyMaxSegs: 4, hasProvider: true }, 0, "EBUSY"],
      [{ zeroCopyMaxSegs: 1 }, UseSg, "EOPNOTSUPP"],
      [{ zeroCopyMaxSegs: 1, mtuBytes: 3841 }, 0, "EINVAL"],
      [{ zeroCopyMaxSegs: 2, mtuBytes: 7041 }, UseSg, "EINVAL"],
    ] as const;
    for (const [device, flags, errno] of cases) {
      const rig = makeSocket({ device });
      const socket = ready(rig);
      expect(bind(socket, { flags: flags | ZeroCopy })).toBe(says(errno, "flags"));
      expect([bind(socket, { flags }), socket.queue?.isZeroCopy]).toEqual(["no error", false]);
    }
    const able = ready(makeSocket({ device: { zeroCopyMaxSegs: 2, mtuBytes: 7040 } }));
    expect([bind(able, { flags: UseSg }), able.queue?.isZeroCopy]).toEqual(["no error", true]);
  });

  test("5.7 checksums in software need a device that takes linear packets", () => {
    const rig = makeSocket({ device: { noLinear: true } });
    expect(bind(ready(rig, { flags: UmemFlag.TxSwCsum }))).toBe(says("EOPNOTSUPP", "flags").replace("flags", "umem"));
  });
});

describe("sharing", () => {
  test("#304 the same queue: one pool, two users", () => {
    const rig = makeSocket();
    const second = rig.kernel.createSocket();
    second.setRing("tx", 8);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: SharedUmem, sharedFd: rig.socket.fd });
    expect([second.queue === rig.queue, rig.queue.users]).toEqual([true, 2]);
  });

  test("#304 another queue: a pool and rings of its own, the mapping shared and undone once", () => {
    const host = makeHost();
    const dma = withBalance(createIommuDevice(host));
    const device = { zeroCopyMaxSegs: 4, dma };
    const rig = makeSocket({ device, bind: { flags: ZeroCopy | UseNeedWakeup } }, host);
    const second = rig.kernel.createSocket();
    setAllRings(second, 8);
    second.bind({ ifindex: IFINDEX, queueIdx: 1, flags: SharedUmem, sharedFd: rig.socket.fd });
    expect(second.queue).not.toBe(rig.queue);
    expect([second.queue?.isZeroCopy, second.queue?.usesNeedWakeup]).toEqual([true, true]);
    expect(second.queue!.buffs.dma).toBe(rig.queue.buffs.dma);
    expect(rig.queue.buffs.dma?.users).toBe(2);
    rig.socket.close();
    expect(second.queue!.buffs.dma?.users).toBe(1);
    second.close();
    dma.assertBalanced();
  });

  test("#307 the pool goes with the last socket, its fill and completion ring with it", () => {
    const host = makeHost();
    const rig = makeSocket({}, host);
    const second = rig.kernel.createSocket();
    second.setRing("tx", 8);
    second.bind({ ifindex: IFINDEX, queueIdx: 0, flags: SharedUmem, sharedFd: rig.socket.fd });
    let released = 0;
    rig.queue.onReleased(() => released++);
    rig.rings.close();
    rig.socket.close();
    rig.socket.close();
    expect([released, rig.device.pools[0] === rig.queue]).toEqual([0, true]);
    second.close();
    expect([released, rig.device.pools[0]]).toEqual([1, null]);
    rig.queue.onReleased(() => released++);
    expect(released).toBe(2);
    expect(bind(ready(rig), { queueIdx: 0 })).toBe("no error");
  });

  test("#307 buffers with the driver keep the queue busy", () => {
    const rig = makeSocket({ device: { zeroCopyMaxSegs: 4 }, bind: { flags: ZeroCopy } });
    rig.fill(2);
    const ref = rig.queue.buffs.allocNetmem();
    if (ref === 0) throw new Error("no buffer");
    expect(rig.rings.close()).toBe(2);
    rig.socket.close();
    expect(bind(ready(rig), { queueIdx: 0 })).toBe(says("EBUSY", "queueIdx"));
    rig.queue.buffs.free(ref);
    expect([bind(ready(rig), { queueIdx: 0 }), rig.rings.released()]).toEqual(["no error", 2]);
    expect(rig.umem.census()).toMatchObject({ user: 16, fillPosted: 0 });
  });
});

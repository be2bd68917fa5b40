/* What goes wrong halfway: nothing stays open, registered or out of use because of it. */
import { readdirSync } from "node:fs";
import type { PageRef } from "@netmem/core";
import { AF_NETLINK, Errno, type NativePoll, NETLINK_GENERIC, RouteSocket } from "@netmem/linux";
import { afterEach, expect, test, vi } from "vitest";
import { RxLoop } from "../src/index.ts";
import type { Stand } from "./fixture.ts";
import { errorOf, useStands } from "./stands.ts";

const { stand } = useStands();
// Vitest runs these before those of the stands, which are closed without mocks then.
afterEach(() => void vi.restoreAllMocks());

function takePages({ host }: Stand, count: number): PageRef[] {
  return Array.from({ length: count }, () => {
    const page = host.pages.allocPages(0);
    if (page === 0) throw new Error("no page");
    return page;
  });
}

test("a driver that gets no pool leaves its queue closed, and starts when there is one", () => {
  const { device, host, port } = stand();
  const free = host.pages.freePageCount();
  vi.spyOn(host.owners, "claim").mockImplementationOnce(() => {
    throw new Error("no owner to be had");
  });
  expect(() => device.open()).toThrow("no owner to be had");
  expect([port.queue(0).socket === null, port.afXdp.settle()]).toEqual([true, true]);
  expect(host.pages.freePageCount()).toBe(free);
  device.open();
  expect(port.queue(0).socket === null).toBe(false);
});

test("a socket that is bound and gets no user end leaves nothing registered", () => {
  const made = stand({ port: { program: "none" } });
  const { host, port, afXdp } = made;
  const free = host.pages.freePageCount();
  const takeQueueId = vi.spyOn(afXdp.umem, "takeQueueId").mockImplementationOnce(() => {
    throw new Error("no queue id to be had");
  });
  expect(() => port.queue(0).open()).toThrow("no queue id to be had");
  expect([takeQueueId.mock.calls.length, port.registration.pendingCount]).toEqual([1, 0]);
  expect(host.pages.freePageCount()).toBe(free);
  port.queue(0).open();
});

test("a page that its user freed while it was sent: settling says so, and the rest comes home", () => {
  const made = stand({ port: { program: "none" } });
  const { host, port, afXdp } = made;
  const { rings } = port.queue(0).open();
  const pages = takePages(made, 3);
  for (const page of pages) rings.transmitOne(page, host.offsetOf(page), 60);
  host.pages.freePage(pages[0]!);
  port.close();
  expect(errorOf(() => afXdp.settle()).code).toMatch(/^ERR_NETMEM_(DOUBLE_PUT|STALE_REF)$/);
  expect([afXdp.settle(), port.registration.pendingCount, afXdp.umem.census().txPosted]).toEqual([true, 0, 0]);
});

test("one call sends what is in the ring on every queue of a port, not on the first alone", () => {
  const made = stand({ testnet: { queues: 2 }, port: { program: "none" } });
  const { host, port, afXdp } = made;
  for (const queueIdx of [0, 1]) {
    const { rings, fd } = port.queue(queueIdx).open();
    for (const page of takePages(made, 64)) rings.transmitOne(page, host.offsetOf(page), 60);
    rings.submitTx();
    expect([queueIdx, afXdp.wakeup.kickTx(fd), rings.census().txPosted.txRing]).toEqual([queueIdx, 0, 0]);
    expect(rings.complete(64)).toBe(64);
  }
});

test("an interface that is down when everything is closed: the kernel does not tell, and close() waits", () => {
  const made = stand();
  const { afXdp, device, net } = made;
  device.open();
  const route = net.near.namespace.run(() => new RouteSocket(made.system));
  route.setUp(net.near.link.ifindex, false);
  route.close();
  device.close();
  afXdp.close();
  expect(afXdp.umem.census().fillPosted).toBe(0);
});

test("after its end nothing can be opened", () => {
  const made = stand();
  const { afXdp, port, net } = made;
  const { link, namespace } = net.near;
  port.close();
  expect(errorOf(() => port.queue(0).open())).toMatchObject({ code: "ERR_NETMEM_XDP_CLOSED", param: "port" });
  afXdp.close();
  expect(errorOf(() => afXdp.openPort({ ifname: link.name, namespace }))).toMatchObject({
    code: "ERR_NETMEM_XDP_CLOSED",
    param: "afXdp",
  });
});

test("a port without a socket to ask the kernel by leaves none of the others open", () => {
  const made = stand({ port: { program: "none" } });
  const { system, afXdp, net } = made;
  const { link, namespace } = net.near;
  const fds = (): number => readdirSync("/proc/self/fd").length;
  const socket = system.socket.bind(system);
  vi.spyOn(system, "socket").mockImplementation((family, type, protocol) =>
    family === AF_NETLINK && protocol === NETLINK_GENERIC ? -Errno.EMFILE : socket(family, type, protocol),
  );
  const before = fds();
  for (let n = 0; n < 3; n++) {
    expect(errorOf(() => afXdp.openPort({ ifname: link.name, namespace }))).toMatchObject({ errno: "EMFILE" });
  }
  expect(fds()).toBe(before);
});

test("a loop that cannot watch every queue watches none", () => {
  const { afXdp, device, drivers, scheduler, system } = stand({ testnet: { queues: 2 } });
  device.open();
  const loop = new RxLoop(afXdp, scheduler, drivers);
  const watch = { stop: vi.fn(), close: vi.fn() };
  vi.spyOn(system, "watch")
    .mockImplementationOnce(() => watch as unknown as NativePoll)
    .mockImplementationOnce(() => {
      throw new Error("cannot watch");
    });
  expect(() => loop.start()).toThrow("cannot watch");
  expect([watch.stop.mock.calls.length, watch.close.mock.calls.length]).toEqual([1, 1]);
});

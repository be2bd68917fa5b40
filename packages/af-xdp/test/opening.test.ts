/* Opening a port: what is refused, with which code, and that nothing has changed then. */
import type { NetmemError } from "@netmem/core";
import {
  attachXdp,
  BpfAssembler,
  loadXdpProgram,
  NETLINK_ROUTE,
  NetlinkSocket,
  NetlinkWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  RouteSocket,
  XdpAction,
} from "@netmem/linux";
import { describe, expect, test } from "vitest";
import type { AfXdpPortParams } from "../src/index.ts";
import type { Stand } from "./fixture.ts";
import { errorOf, useStands } from "./stands.ts";

const { cleanups, stand } = useStands();

/** The near end of a cable, opened with other parameters. */
function openError(made: Stand, params: Partial<AfXdpPortParams>): NetmemError {
  const { namespace, link } = made.net.near;
  return errorOf(() => made.afXdp.openPort({ ifname: link.name, namespace, ...params }));
}

describe("opening a port", () => {
  test("an interface that is not there", () => {
    expect(openError(stand(), { ifname: "nowhere0" })).toMatchObject({
      code: "ERR_NETMEM_XDP_NO_INTERFACE",
      errno: "ENODEV",
      value: "nowhere0",
    });
  });

  test("an existing program is named and left alone", () => {
    const made = stand({ port: { program: "none" } });
    const { namespace, link } = made.net.near;
    const insns = new BpfAssembler().aluImm(0xb0, 0, XdpAction.Pass).exit().assemble();
    const program = loadXdpProgram(made.system, { insns, name: "somebody_elses" });
    const attached = namespace.run(() => attachXdp(made.system, { program, ifindex: link.ifindex, mode: "native" }));
    cleanups.push(() => attached.detach());
    const error = openError(made, {});
    expect(error).toMatchObject({ code: "ERR_NETMEM_XDP_ATTACHED", errno: "EBUSY" });
    expect(error.message).toMatch(/program \d+ "somebody_elses", native mode/);
    const insideName = namespace.run(() => new RouteSocket(made.system));
    expect(insideName.link(link.name)?.xdp?.mode).toBe("native");
    insideName.close();
  });

  test("the interface of the default route needs a flag", () => {
    const made = stand({
      testnet: { near: { ips: ["10.0.0.1/24"] }, far: { ips: ["10.0.0.2/24"] } },
      port: { program: "none" },
    });
    const { namespace, link } = made.net.near;
    namespace.run(() => addDefaultRoute(made, link.ifindex));
    expect(openError(made, {})).toMatchObject({ code: "ERR_NETMEM_XDP_DEFAULT_ROUTE", errno: "EPERM" });
    const port = made.afXdp.openPort({ ifname: link.name, namespace, allowDefaultRoute: true });
    expect(port.report().xdpMode).toBe("native");
    port.close();
  });

  test("a queue that the interface does not have", () => {
    const made = stand({ testnet: { queues: 2 } });
    expect(made.port.queueCount).toBe(2);
    const error = errorOf(() => made.port.queue(2));
    expect(error).toMatchObject({ code: "ERR_NETMEM_XDP_QUEUE_RANGE", errno: "EINVAL", value: 2 });
    expect(error.message).toContain("near has 2 RX queues");
  });

  test("ring sizes that the kernel would refuse", () => {
    expect(openError(stand({ port: { program: "none" } }), { rings: { rx: 1000 } })).toMatchObject({
      code: "ERR_NETMEM_INVALID_PARAM",
      param: "rx",
    });
  });

  test("zero copy that must be, on a driver that has none; and zero copy that may be", () => {
    const made = stand({ port: { mode: "require-zerocopy" } });
    expect(errorOf(() => made.device.open())).toMatchObject({
      code: "ERR_NETMEM_XDP_NO_ZEROCOPY",
      errno: "EOPNOTSUPP",
    });
    expect(made.device.isUp).toBe(false);
    const { namespace, link } = made.net.near;
    made.port.close();
    const port = made.afXdp.openPort({ ifname: link.name, namespace, mode: "zerocopy" });
    port.queue(0).open();
    expect(port.report()).toMatchObject({
      offersZeroCopy: false,
      queues: [{ queueIdx: 0, mode: "copy", whyNotZeroCopy: "the driver offers none (xdp-features)" }],
    });
  });
});

/** `ip route add default dev IFINDEX`, with nothing but the kernel. */
function addDefaultRoute({ system }: Stand, ifindex: number): void {
  const RTM_NEWROUTE = 24;
  const header = Uint8Array.of(2, 0, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0);
  const socket = new NetlinkSocket(system, NETLINK_ROUTE);
  const payload = new NetlinkWriter().raw(header).u32(4, ifindex).finish();
  socket.request("RTM_NEWROUTE", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload);
  socket.close();
}

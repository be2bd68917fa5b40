import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { expect } from "vitest";
import {
  AF_INET,
  createNetNamespace,
  type NetNamespace,
  Errno,
  MSG_DONTWAIT,
  POLLIN,
  RouteSocket,
  SOCK_DGRAM,
  type System,
  Wakeup,
} from "../src/index.ts";
import { createTestnet } from "../src/testnet/index.ts";
import { linuxTest } from "./linux-needs.ts";

const ownNamespace = (): string => readlinkSync("/proc/thread-self/ns/net");

function linkNames(system: System, namespace?: NetNamespace): string[] {
  const open = (): RouteSocket => new RouteSocket(system);
  const route = namespace === undefined ? open() : namespace.run(open);
  const names = route.links().map((link) => link.name);
  route.close();
  return names;
}

function udpAddress(lastByte: number, port: number): Uint8Array {
  return Uint8Array.of(2, 0, port >> 8, port & 0xff, 10, 77, 0, lastByte, 0, 0, 0, 0, 0, 0, 0, 0);
}

function udpSocket(system: System, namespace: NetNamespace, from: number, to: number): number {
  const fd = namespace.run(() => system.check("socket", system.socket(AF_INET, SOCK_DGRAM, 0)));
  system.check("bind", system.bind(fd, udpAddress(from, 7000)));
  system.check("connect", system.connect(fd, udpAddress(to, 7000)));
  return fd;
}

linuxTest(
  "two namespaces, a cable of so many queues, addresses on its ends, and nothing else",
  ["netNamespaces"],
  (system) => {
    const before = linkNames(system);
    const net = createTestnet(system, {
      queues: 3,
      mtuBytes: 3000,
      near: { name: "a0", ips: ["10.77.0.1/24"] },
      far: { ips: ["10.77.0.2/24"] },
    });
    expect(net.near.link).toMatchObject({
      name: "a0",
      kind: "veth",
      isUp: true,
      isRunning: true,
      mtu: 3000,
      rxQueues: 3,
      txQueues: 3,
    });
    expect([...net.near.link.macAddress]).toEqual([2, 0, 0, 0, 0, 1]);
    expect(net.far.link).toMatchObject({ name: "far", isUp: true, xdp: null });
    expect(linkNames(system, net.near.namespace).filter((name) => !/^(tunl|gre|sit|ip)/.test(name))).toEqual([
      "lo",
      "a0",
    ]);
    expect(linkNames(system)).toEqual(before);
    net.close();
    net.close();
  },
);

linuxTest("the kernel's own UDP crosses the cable", ["netNamespaces"], (system) => {
  const net = createTestnet(system, { near: { ips: ["10.77.0.1/24"] }, far: { ips: ["10.77.0.2/24"] } });
  const near = udpSocket(system, net.near.namespace, 1, 2);
  const far = udpSocket(system, net.far.namespace, 2, 1);
  const got = new Uint8Array(16);
  expect(system.recv(far, got, MSG_DONTWAIT)).toBe(-Errno.EAGAIN);
  expect(system.send(near, Uint8Array.of(4, 5, 6), 0)).toBe(3);
  expect(new Wakeup(system).pollOne(far, POLLIN, 2000)).toBe(POLLIN);
  expect(system.recv(far, got, MSG_DONTWAIT)).toBe(3);
  expect([...got.subarray(0, 3)]).toEqual([4, 5, 6]);
  [near, far].forEach((fd) => system.close(fd));
  net.close();
});

linuxTest("run comes back to the thread's own namespace, whatever happens inside", ["netNamespaces"], (system) => {
  const home = ownNamespace();
  const namespace = createNetNamespace(system);
  expect(ownNamespace()).toBe(home);
  const inside = namespace.run(ownNamespace);
  expect(inside).not.toBe(home);
  expect(namespace.run(() => namespace.run(ownNamespace))).toBe(inside);
  expect(() =>
    namespace.run(() => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(() => namespace.run(async () => {})).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_ASYNC_IN_NAMESPACE" }),
  );
  expect(ownNamespace()).toBe(home);
  namespace.close();
  expect(() => namespace.run(() => 0)).toThrow(expect.objectContaining({ call: "setns" }));
  expect(ownNamespace()).toBe(home);
});

linuxTest("a child process made inside stays inside, and can enter by the path", ["netNamespaces"], (system) => {
  const namespace = createNetNamespace(system);
  const inside = namespace.run(ownNamespace);
  const program = 'console.log(require("node:fs").readlinkSync("/proc/self/ns/net"))';
  const child = namespace.run(() => spawnSync(process.execPath, ["--eval", program], { encoding: "utf8" }));
  expect(child.stdout.trim()).toBe(inside);
  expect(readlinkSync(namespace.path)).toBe(inside);
  namespace.close();
});

linuxTest(
  "links are made, brought down, resized, moved and removed; refusals carry the errno",
  ["netNamespaces"],
  (system) => {
    const [one, two] = [createNetNamespace(system), createNetNamespace(system)];
    const route = one.run(() => new RouteSocket(system));
    route.addVeth({ name: "v0" }, { name: "v1", address: "02:aa:bb:cc:dd:ee" });
    const index = route.link("v0")!.ifindex;
    expect([...route.link("v1")!.macAddress]).toEqual([0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);
    route.setUp(index);
    route.setMtu(index, 9000);
    expect(route.link("v0")).toMatchObject({ isUp: true, mtu: 9000 });
    route.setUp(index, false);
    expect(route.link("v0")).toMatchObject({ isUp: false });
    route.addAddress(index, "fd00::1/64");
    const refused = (errno: string): unknown => expect.objectContaining({ code: "ERR_NETMEM_SYSTEM_CALL", errno });
    expect(() => route.addVeth({ name: "v0" }, { name: "v9" })).toThrow(refused("EEXIST"));
    expect(() => route.addAddress(index, "fd00::1/64")).toThrow(refused("EEXIST"));
    expect(() => route.setUp(99_999)).toThrow(refused("ENODEV"));
    const invalid = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" });
    expect(() => route.addVeth({ name: "a-name-too-long!" }, { name: "v9" })).toThrow(invalid);
    expect(() => route.addVeth({ name: "v8", address: "02:00" }, { name: "v9" })).toThrow(invalid);
    expect(() => route.addAddress(index, "10.0.0.1")).toThrow(invalid);
    expect(() => route.addAddress(index, "10.0.0.1/33")).toThrow(invalid);
    route.setNetNs(route.link("v1")!.ifindex, two.fd);
    expect([linkNames(system, one).includes("v1"), linkNames(system, two).includes("v1")]).toEqual([false, true]);
    route.remove(index);
    expect(linkNames(system, two).includes("v1")).toBe(false);
    route.close();
    [one, two].forEach((namespace) => namespace.close());
  },
);

/** A process that makes a testnet and puts the far end of one more cable into the namespace `/proc/PARENT/fd/N`. */
function holder(target: string): string {
  const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  return `
    const { openSystem, createNetNamespace, RouteSocket } = await import(${url("../src/index.ts")});
    const { openSync } = await import("node:fs");
    const system = openSystem();
    const namespace = createNetNamespace(system);
    const route = namespace.run(() => new RouteSocket(system));
    route.addVeth({ name: "held" }, { name: "witness", netNsFd: openSync(${JSON.stringify(target)}, "r") });
    console.log("ready");
    setInterval(() => {}, 1000);
  `;
}

async function until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}

linuxTest("kill -9 leaves no namespace and no link", ["netNamespaces"], async (system) => {
  const mine = createNetNamespace(system);
  const child = spawn(process.execPath, ["--input-type=module", "--eval", holder(mine.path)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  expect(linkNames(system, mine)).toContain("witness");
  child.kill("SIGKILL");
  await once(child, "exit");
  // The other end of a cable goes with the namespace that it was in: the witness is gone only when that is.
  expect(await until(() => !linkNames(system, mine).includes("witness"), 5000)).toBe(true);
  mine.close();
});

linuxTest("closing a testnet takes its links with it", ["netNamespaces"], async (system) => {
  const mine = createNetNamespace(system);
  const net = createTestnet(system);
  const route = net.near.namespace.run(() => new RouteSocket(system));
  route.addVeth({ name: "held" }, { name: "witness", netNsFd: mine.fd });
  route.close();
  expect(linkNames(system, mine)).toContain("witness");
  net.close();
  expect(await until(() => !linkNames(system, mine).includes("witness"), 5000)).toBe(true);
  mine.close();
});

linuxTest("a namespace that was closed is not entered, nor the next one by its number", ["netNamespaces"], (system) => {
  const closed = createNetNamespace(system);
  closed.close();
  using next = createNetNamespace(system);
  expect(next.fd).toBe(closed.fd);
  expect(() => closed.run(ownNamespace)).toThrow(expect.objectContaining({ call: "setns", errno: "EBADF" }));
  expect(next.run(ownNamespace)).not.toBe(ownNamespace());
});

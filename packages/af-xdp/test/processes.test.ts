/* AF_XDP across processes: one that has no rights, and one that is killed. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isNetmemError } from "@netmem/core";
import {
  AF_UNIX,
  AF_XDP,
  attachXdp,
  BpfMapType,
  compileXdpFilter,
  createBpfMap,
  loadXdpProgram,
  NETLINK_ROUTE,
  NetlinkSocket,
  NetNamespace,
  openSystem,
  readInterface,
  sendFds,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOCK_STREAM,
  xdpProgramName,
} from "@netmem/linux";
import { createTestnet } from "@netmem/linux/testnet";
import { VirtualClock } from "@netmem/testing";
import { beforeEach, expect, test } from "vitest";
import { type AfXdpQueue, openAfXdp } from "../src/index.ts";
import { makeHost, whyNoAfXdp } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";

const whyNot = whyNoAfXdp();
beforeEach((context) => {
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
});

const pathOf = (name: string): string => fileURLToPath(new URL(`children/${name}.ts`, import.meta.url));

function linesOf(child: ChildProcess): AsyncIterator<string> {
  if (child.stdout === null) throw new Error("the child has no output");
  return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
}

test("a process without any right uses sockets that its parent made, and is told what it lacks", async () => {
  const system = openSystem();
  const net = createTestnet(system);
  const far = new PacketSocket(system, net.far);
  const ends = new Int32Array(2);
  system.check("socketpair", system.socketPair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, ends));
  const { namespace, link } = net.near;
  const { child, xskMap, attached } = namespace.run(() => {
    const sockets = [0, 1].map(() => system.check("socket", system.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)));
    const map = createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: 1 });
    const program = loadXdpProgram(system, { insns: compileXdpFilter(map.fd, []) });
    const xdpLink = attachXdp(system, { program, ifindex: link.ifindex });
    program.close();
    map.set(0, sockets[1]!);
    system.check("sendmsg", sendFds(system, ends[0]!, Uint8Array.of(1), sockets));
    for (const fd of sockets) system.close(fd);
    const stdio = ["ignore", "pipe", "inherit", ends[1]!] as const;
    return {
      child: spawn(process.execPath, [pathOf("unprivileged")], { stdio: [...stdio] }),
      xskMap: map,
      attached: xdpLink,
    };
  });
  try {
    const lines = linesOf(child);
    expect(JSON.parse((await lines.next()).value as string)).toEqual({
      program: "ERR_NETMEM_XDP_PERMISSION EPERM",
      socket: "ERR_NETMEM_XDP_PERMISSION EPERM",
      memlock: "ERR_NETMEM_XDP_MEMLOCK ENOBUFS",
    });
    expect((await lines.next()).value).toBe("open");
    const frame = new Uint8Array(60).fill(7);
    for (let n = 0; n < 10; n++) far.send(frame);
    expect(JSON.parse((await lines.next()).value as string)).toEqual({ packets: 10, uid: 65534 });
    expect(far.takeAll()).toEqual(Array.from({ length: 10 }, () => frame));
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
  } finally {
    child.kill("SIGKILL");
    attached.detach();
    xskMap.close();
    for (const fd of ends) system.close(fd);
    far.close();
    net.close();
  }
});

test("a port joins a map that is pinned in a bpf file system", (context) => {
  const script = 'mount -t bpf bpf "$0" && exec "$@"';
  const folder = fs.mkdtempSync(join(tmpdir(), "netmem-bpf-"));
  try {
    const args = ["-m", "sh", "-c", script, folder, process.execPath, pathOf("pinned"), folder];
    const { error, status, stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
    if (error !== undefined) context.skip("unshare (util-linux) is not installed");
    if (/mount: .*(permission denied|unknown filesystem)/.test(stderr)) context.skip(`no bpf file system: ${stderr}`);
    expect([status, JSON.parse(stdout || "{}"), stderr]).toEqual([0, { packets: 1, mode: "joined" }, ""]);
    expect(fs.readdirSync(folder)).toEqual([]);
  } finally {
    fs.rmdirSync(folder);
  }
});

/** Processes that have a namespace, by /proc; our own descriptor for it left out. */
function holdersOf(inode: number): string[] {
  const isIt = (path: string): boolean => {
    try {
      return fs.statSync(path).ino === inode;
    } catch {
      return false;
    }
  };
  return fs.readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isIt(`/proc/${pid}/ns/net`));
}

/** What the child that is killed says. */
interface Said {
  readonly near: string;
  readonly far: string;
  readonly ifindex: number;
}

/** On a machine with much else to do, the kernel may take longer than the port waits. */
function openPatiently(queue: AfXdpQueue): void {
  for (let tries = 0; tries < 30; tries++) {
    try {
      queue.open();
      return;
    } catch (error) {
      if (!isNetmemError(error) || error.code !== "ERR_NETMEM_XDP_QUEUE_BUSY") throw error;
    }
  }
  throw new Error("the queue stays busy");
}

test("kill -9 under traffic leaves no program, no busy queue and no namespace", async () => {
  const system = openSystem();
  const child = spawn(process.execPath, [pathOf("crashing")], { stdio: ["ignore", "pipe", "inherit"] });
  const said = JSON.parse((await linesOf(child).next()).value as string) as Said;
  // We keep both namespaces, to look what is left in them: with the far one the cable would go.
  const [fd, farFd] = [fs.openSync(said.near, "r"), fs.openSync(said.far, "r")];
  const namespace = new NetNamespace(system, fd);
  const route = namespace.run(() => new NetlinkSocket(system, NETLINK_ROUTE));
  const programId = readInterface(route, said.ifindex).xdp?.programId ?? 0;
  expect(xdpProgramName(system, programId)).toBe("netmem_filter");
  child.kill("SIGKILL");
  await once(child, "exit");
  const killedMs = performance.now();
  const afXdp = openAfXdp(makeHost(new VirtualClock()), { system });
  const port = afXdp.openPort({ ifname: "near", namespace });
  for (const queueIdx of [0, 1]) openPatiently(port.queue(queueIdx));
  console.log(`both queues bound again ${Math.round(performance.now() - killedMs)} ms after the kill`);
  expect(xdpProgramName(system, programId)).toBe("");
  afXdp.close();
  expect(readInterface(route, said.ifindex).xdp).toBeNull();
  route.close();
  expect([fd, farFd].flatMap((one) => holdersOf(fs.fstatSync(one).ino))).toEqual([]);
  fs.closeSync(farFd);
  namespace.close();
});

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  NETLINK_ROUTE,
  NetlinkSocket,
  NetlinkWriter,
  NLM_F_DUMP,
  parseAddress,
  readAttributes,
  RouteSocket,
  type System,
} from "../src/index.ts";
import { Errno } from "../src/errno.ts";
import { linuxTest } from "./linux-needs.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const malformed = expect.objectContaining({ code: "ERR_NETMEM_NETLINK_MALFORMED" });
const invalid = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" });

interface Tree {
  readonly type: number;
  readonly payload: Uint8Array | readonly Tree[];
}

const type = fc.integer({ min: 0, max: 0x3fff });
const tree: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.record({ type, payload: fc.uint8Array({ maxLength: 300 }) }),
    fc.record({ type, payload: fc.array(tie("tree"), { maxLength: 5 }) }),
  ),
})).tree;

function write(writer: NetlinkWriter, { type, payload }: Tree): void {
  if (payload instanceof Uint8Array) writer.bytesAttr(type, payload);
  else writer.nested(type, (inside) => payload.forEach((one) => write(inside, one)));
}

function compare(bytes: Uint8Array, trees: readonly Tree[]): void {
  const attrs = readAttributes(bytes);
  expect(attrs.map((one) => one.type)).toEqual(trees.map((one) => one.type));
  trees.forEach(({ payload }, n) => {
    if (payload instanceof Uint8Array) expect(attrs[n]!.payload).toEqual(payload);
    else compare(attrs[n]!.payload, payload);
  });
}

test(`what is written is read back, nested as it was (NETMEM_SEED=${seed})`, () => {
  const property = fc.property(fc.array(tree, { maxLength: 6 }), (trees) => {
    const writer = new NetlinkWriter();
    for (const one of trees) write(writer, one);
    compare(writer.finish(), trees);
  });
  fc.assert(property, { seed, numRuns: 200 });
});

test(`any bytes are read or refused, and nothing outside them is (NETMEM_SEED=${seed})`, () => {
  const property = fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    try {
      for (const { payload } of readAttributes(bytes)) {
        expect(payload.byteOffset + payload.byteLength).toBeLessThanOrEqual(bytes.byteOffset + bytes.byteLength);
      }
    } catch (error) {
      expect(error).toEqual(malformed);
    }
  });
  fc.assert(property, { seed, numRuns: 500 });
});

test("integers and strings have their sizes; too few bytes are refused", () => {
  const bytes = new NetlinkWriter().u8(1, 200).u16(2, 50_000).u32(3, 4_000_000_000).string(4, "veth0").finish();
  expect(bytes.byteLength % 4).toBe(0);
  const [a, b, c, d] = readAttributes(bytes);
  expect([a?.asU8(), b?.asU16(), c?.asU32(), c?.asUint(), d?.asString()]).toEqual([200, 50_000, 4e9, 4e9, "veth0"]);
  expect(() => b?.asU32()).toThrow(malformed);
  expect(() => b?.asUint()).toThrow(malformed);
  expect(() => readAttributes(Uint8Array.of(9, 0, 1, 0, 0))).toThrow(malformed);
  expect(() => readAttributes(Uint8Array.of(3, 0, 1, 0))).toThrow(malformed);
});

const addresses = [
  ["10.0.0.255", [10, 0, 0, 255]],
  ["::", Array.from({ length: 16 }, () => 0)],
  ["fd00::1", [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
  ["1:2:3:4:5:6:7:8", [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  ["fe80::", [0xfe, 0x80, ...Array.from({ length: 14 }, () => 0)]],
] as const;

test.for(addresses)("%s is an address", ([text, bytes]) => {
  expect([...parseAddress(text)]).toEqual([...bytes]);
});

test.for(["", "10.0.0", "10.0.0.256", "1.2.3.4.5", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8::", "g::", "12345::"])(
  "%s is none",
  (text) => {
    expect(() => parseAddress(text)).toThrow(invalid);
  },
);

linuxTest("anybody may list interfaces, in one dump or several requests", [], (system) => {
  const route = new RouteSocket(system);
  for (let n = 0; n < 3; n++) {
    expect(route.links().find((link) => link.name === "lo")?.ifindex).toBe(system.ifNameToIndex("lo"));
  }
  expect(route.link("no-such-link")).toBeNull();
  route.close();
  route.close();
});

linuxTest("the kernel's own words are in the error", [], (system) => {
  const socket = new NetlinkSocket(system, NETLINK_ROUTE);
  expect(() => socket.request("RTM_GETNSID", 90, 0, new Uint8Array(4))).toThrow(
    expect.objectContaining({
      code: "ERR_NETMEM_SYSTEM_CALL",
      call: "netlink RTM_GETNSID",
      errno: "EINVAL",
      message: expect.stringContaining("Peer netns reference is missing"),
    }),
  );
  expect(socket.request("RTM_GETLINK", 18, NLM_F_DUMP, new Uint8Array(16)).length).toBeGreaterThan(0);
  socket.close();
});

linuxTest("the kernel's own words about a dump that it refuses are in the error, too", [], (system) => {
  using socket = new NetlinkSocket(system, NETLINK_ROUTE);
  // A route's type of service cannot be asked for: the refusal comes as the end of the dump.
  const header = Uint8Array.of(2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  expect(() => socket.request("RTM_GETROUTE", 26, NLM_F_DUMP, header)).toThrow(
    expect.objectContaining({
      call: "netlink RTM_GETROUTE",
      errno: "EINVAL",
      message: expect.stringContaining("Invalid values in header"),
    }),
  );
});

/** A system whose calls go to the kernel, except where a test says otherwise. */
const deviating = (system: System): System => Object.create(system) as System;

linuxTest("a signal while an answer is awaited does not end the request", [], (real) => {
  const system = deviating(real);
  let signals = 3;
  system.recv = (fd, bytes, flags) => (signals-- > 0 ? -Errno.EINTR : real.recv(fd, bytes, flags));
  using socket = new NetlinkSocket(system, NETLINK_ROUTE);
  expect(socket.request("RTM_GETLINK", 18, NLM_F_DUMP, new Uint8Array(16)).length).toBeGreaterThan(0);
  expect(signals).toBeLessThan(0);
});

linuxTest("a dump that a change overtook is asked for again, ten times at most", [], (real) => {
  const system = deviating(real);
  let overtaken = 0;
  let dumps = 0;
  system.send = (fd, bytes, flags) => {
    dumps++;
    return real.send(fd, bytes, flags);
  };
  system.recv = (fd, bytes, flags) => {
    const got = real.recv(fd, bytes, flags);
    // NLM_F_DUMP_INTR, in the flags of the first message that comes.
    if (dumps <= overtaken) bytes[6] = bytes[6]! | 0x10;
    return got;
  };
  using socket = new NetlinkSocket(system, NETLINK_ROUTE);
  const list = (): number => socket.request("RTM_GETLINK", 18, NLM_F_DUMP, new Uint8Array(16)).length;
  const links = list();
  [overtaken, dumps] = [2, 0];
  expect([list(), dumps]).toEqual([links, 3]);
  [overtaken, dumps] = [Infinity, 0];
  expect(list).toThrow(expect.objectContaining({ call: "netlink RTM_GETLINK", errno: "EINTR" }));
  expect(dumps).toBe(10);
});

linuxTest("the number of a request goes around after 2^32", [], (system) => {
  using socket = new NetlinkSocket(system, NETLINK_ROUTE);
  Object.assign(socket, { sequence: 0xfffffffe });
  for (let n = 0; n < 3; n++) {
    expect(socket.request("RTM_GETLINK", 18, NLM_F_DUMP, new Uint8Array(16)).length).toBeGreaterThan(0);
  }
});

linuxTest("a closed socket sends nothing, whoever has its descriptor by then", [], (system) => {
  const closed = new NetlinkSocket(system, NETLINK_ROUTE);
  closed.close();
  using next = new NetlinkSocket(system, NETLINK_ROUTE);
  const list = (socket: NetlinkSocket): unknown => socket.request("RTM_GETLINK", 18, NLM_F_DUMP, new Uint8Array(16));
  expect(() => list(closed)).toThrow(expect.objectContaining({ call: "netlink RTM_GETLINK", errno: "EBADF" }));
  list(next);
});

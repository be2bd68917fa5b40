import { isNetmemError } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import type { FilterRule } from "../../src/bpf/filter-rule.ts";
import { compileXdpFilter } from "../../src/bpf/xdp-filter.ts";
import { XdpAction } from "../../src/bpf/opcodes.ts";
import { matches, randomPacket, randomRule } from "./filter-oracle.ts";
import { runXdp } from "./interpreter.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const PASS = XdpAction.Pass;
const REDIRECT = XdpAction.Redirect;
const ETHERNET = "020000000002020000000001";
const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

test("rules take exactly the packets that they describe", () => {
  console.log(`xdp filter: NETMEM_SEED=${seed}`);
  const prng = new Prng(seed);
  let taken = 0;
  for (let n = 0; n < 6000; n++) {
    const rules = Array.from({ length: 1 + prng.below(3) }, () => randomRule(prng));
    const program = compileXdpFilter(3, rules);
    for (let k = 0; k < 4; k++) {
      const packet = randomPacket(prng);
      const isTaken = rules.some((rule) => matches(rule, packet));
      if (isTaken) taken++;
      const what = JSON.stringify({ rules, packet: Buffer.from(packet.bytes).toString("hex") });
      expect(runXdp(program, packet.bytes).action, what).toBe(isTaken ? REDIRECT : PASS);
    }
  }
  expect(taken).toBeGreaterThan(3000);
});

test("a packet cut anywhere is never read beyond its end", () => {
  const prng = new Prng(seed);
  const program = compileXdpFilter(3, [{ srcPort: 1 }, { protocol: "udp", dst: [1, 2, 3, 4], dstPort: 9 }]);
  for (let n = 0; n < 200; n++) {
    const { bytes } = randomPacket(prng);
    for (let len = 0; len <= Math.min(bytes.length, 120); len++) runXdp(program, bytes.slice(0, len));
  }
});

test("bytes at random are never read beyond their end", () => {
  const prng = new Prng(seed);
  const program = compileXdpFilter(3, [{ family: "ipv6", dstPort: 1 }, { srcPort: 1 }]);
  const types = ["8100", "88a8", "0800", "86dd"];
  for (let n = 0; n < 3000; n++) {
    const bytes = Uint8Array.from({ length: prng.below(90) }, () => prng.below(256));
    for (let at = 12; at + 2 <= bytes.length && at < 24; at += 4) bytes.set(frame(types[prng.below(4)]!), at);
    runXdp(program, bytes);
  }
});

test("a queue without a socket passes its packets", () => {
  for (const rules of [[], [{}], [{ etherType: 0x88cc }]] as FilterRule[][]) {
    const program = compileXdpFilter(3, rules);
    const lldp = frame(`${ETHERNET} 88cc 0001`);
    expect(runXdp(program, lldp, 5, [5]).action).toBe(REDIRECT);
    expect(runXdp(program, lldp, 5, [4]).action).toBe(PASS);
  }
});

test("no rules is the shortest program", () => {
  expect(compileXdpFilter(3, []).length).toBe(7 * 8);
});

test("two VLAN tags are looked through, the outer one counts; a third is left alone", () => {
  const arp = `0806 0001`;
  const program = compileXdpFilter(3, [{ etherType: 0x0806, vlanId: 7 }]);
  expect(runXdp(program, frame(`${ETHERNET} 88a8 e007 8100 0009 ${arp}`)).action).toBe(REDIRECT);
  expect(runXdp(program, frame(`${ETHERNET} 88a8 0009 8100 0007 ${arp}`)).action).toBe(PASS);
  expect(runXdp(program, frame(`${ETHERNET} 8100 0007 8100 0001 8100 0001 ${arp}`)).action).toBe(PASS);
  expect(
    runXdp(compileXdpFilter(3, [{ etherType: 0x8100 }]), frame(`${ETHERNET} 8100 0007 8100 0001 8100 0001 ${arp}`))
      .action,
  ).toBe(REDIRECT);
});

test("an IPv4 header that says it is shorter than it can be has no protocol", () => {
  const head = `${ETHERNET} 0800`;
  const rest = "000028 0000 0000 4011 0000 0a000001 0a000002 0035 0050 0014 0000".replaceAll(" ", "");
  const program = compileXdpFilter(3, [{ protocol: "udp" }]);
  expect(runXdp(program, frame(`${head} 45 ${rest}`)).action).toBe(REDIRECT);
  expect(runXdp(program, frame(`${head} 44 ${rest}`)).action).toBe(PASS);
});

describe("what a rule may not say", () => {
  const bad: readonly [string, string, FilterRule][] = [
    ["a family and an address of the other", "rule", { family: "ipv6", src: [10, 0, 0, 1] }],
    ["addresses of two families", "rule", { src: new Uint8Array(16), dst: new Uint8Array(4) }],
    ["an EtherType and another family", "rule", { etherType: 0x0806, family: "ipv4" }],
    ["an address of five bytes", "src", { src: [1, 2, 3, 4, 5] }],
    ["a port beyond 65535", "dstPort", { dstPort: 65536 }],
    ["a family that is none", "family", { family: "IPv4" as never }],
    ["VLAN 0", "vlanId", { vlanId: 0 }],
    ["a length as EtherType", "etherType", { etherType: 1500 }],
    ["a protocol without a number", "protocol", { protocol: "sctp" as never }],
  ];
  test.for(bad)("%s", ([, param, rule]) => {
    try {
      compileXdpFilter(3, [rule]);
    } catch (error) {
      if (!isNetmemError(error)) throw error;
      expect([error.code, error.param]).toEqual(["ERR_NETMEM_INVALID_PARAM", param]);
      return;
    }
    expect.fail("accepted");
  });
});

import type { FlowRule } from "@netmem/netdev";
import { buildPacket, fragmentPacket, ipv4Address, ipv6Address, macAddress, type PacketSpec } from "@netmem/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FlowTable, MAX_EXACT_RULES, MAX_WILDCARD_RULES, Rss, SimNic } from "../src/index.ts";
import { makeHost, postPages } from "./fixture.ts";

const link = { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") };
const HOSTS = {
  ipv4: [ipv4Address("10.0.0.1"), ipv4Address("10.0.0.2"), ipv4Address("224.0.0.255")],
  ipv6: [ipv6Address("fd00::1"), ipv6Address("fd00::2"), ipv6Address("fd00:1::1")],
} as const;
const PORTS = [0, 53, 65_535];
const QUEUES = 8;

/** Indices into the small worlds above, so that rules and packets often meet. */
interface Tuple {
  readonly family: "ipv4" | "ipv6";
  readonly protocol: "tcp" | "udp";
  readonly src: number;
  readonly dst: number;
  readonly srcPort: number;
  readonly dstPort: number;
}

const tuple: fc.Arbitrary<Tuple> = fc.record({
  family: fc.constantFrom("ipv4", "ipv6"),
  protocol: fc.constantFrom("tcp", "udp"),
  src: fc.nat(2),
  dst: fc.nat(2),
  srcPort: fc.nat(2),
  dstPort: fc.nat(2),
});

/** Rules and packets of a run are about four flows, so that several rules match. */
const fourTuples = fc.array(tuple, { minLength: 4, maxLength: 4 });

/** One bit per field that the rule names; half of the rules name all. */
const fields = fc.oneof(fc.constant(63), fc.nat(63));

function ruleOf(of: Tuple, named: number, queueIdx: number): FlowRule {
  const has = (bit: number): boolean => (named & (1 << bit)) !== 0;
  return {
    queueIdx,
    ...(has(0) && { family: of.family }),
    ...(has(1) && { protocol: of.protocol }),
    ...(has(2) && { src: HOSTS[of.family][of.src] ?? [] }),
    ...(has(3) && { dst: HOSTS[of.family][of.dst] ?? [] }),
    ...(has(4) && { srcPort: PORTS[of.srcPort] ?? 0 }),
    ...(has(5) && { dstPort: PORTS[of.dstPort] ?? 0 }),
  };
}

function frameOf({ family, protocol, src, dst, srcPort, dstPort }: Tuple): Uint8Array {
  const network = { kind: family, src: HOSTS[family][src], dst: HOSTS[family][dst] } as PacketSpec["network"];
  const ports = { srcPort: PORTS[srcPort] ?? 0, dstPort: PORTS[dstPort] ?? 0 };
  const bytes = new Uint8Array(256);
  return bytes.slice(0, buildPacket(bytes, 0, { ethernet: link, network, transport: { kind: protocol, ...ports } }));
}

function matches(rule: FlowRule, of: Tuple): boolean {
  const family = rule.family ?? ((rule.src ?? rule.dst)?.length === 4 ? "ipv4" : (rule.src ?? rule.dst) && "ipv6");
  return (
    (family === undefined || family === of.family) &&
    (rule.protocol === undefined || rule.protocol === of.protocol) &&
    (rule.src === undefined || rule.src === HOSTS[of.family][of.src]) &&
    (rule.dst === undefined || rule.dst === HOSTS[of.family][of.dst]) &&
    (rule.srcPort === undefined || rule.srcPort === PORTS[of.srcPort]) &&
    (rule.dstPort === undefined || rule.dstPort === PORTS[of.dstPort])
  );
}

function isExact({ protocol, src, dst, srcPort, dstPort }: FlowRule): boolean {
  return [protocol, src, dst, srcPort, dstPort].every((field) => field !== undefined);
}

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("add" as const), which: fc.nat(3), named: fields }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), which: fc.nat(100) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("frame" as const), which: fc.nat(3) }) },
);

describe("FlowTable", () => {
  test("rules come, go, match and count as in a naive model", () => {
    fc.assert(
      fc.property(fourTuples, fc.array(step, { minLength: 5, maxLength: 80 }), (tuples, steps) => {
        const flows = new FlowTable(QUEUES);
        const model: { id: number; rule: FlowRule; packets: number; bytes: number }[] = [];
        let next = 0;
        for (const one of steps) {
          if (one.kind === "add") {
            const rule = ruleOf(tuples[one.which]!, one.named, next++ % QUEUES);
            let id = 0;
            try {
              id = flows.addFlowRule(rule);
            } catch (error) {
              expect(error).toMatchObject({ code: "ERR_NETMEM_FLOW_EXISTS", errno: "EEXIST" });
              continue;
            }
            model.push({ id, rule, packets: 0, bytes: 0 });
          } else if (one.kind === "remove") {
            const [gone] = model.length === 0 ? [] : model.splice(one.which % model.length, 1);
            if (gone !== undefined) flows.removeFlowRule(gone.id);
          } else {
            const of = tuples[one.which]!;
            const frame = frameOf(of);
            const hits = model.filter(({ rule }) => matches(rule, of));
            const hit = hits.find(({ rule }) => isExact(rule)) ?? hits[0];
            expect(flows.steer(frame, 0, frame.length, 99)).toBe(hit?.rule.queueIdx ?? 99);
            if (hit !== undefined) {
              hit.packets++;
              hit.bytes += frame.length;
            }
          }
          expect(flows.ruleCount).toBe(model.length);
        }
        expect(flows.flowRules()).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });

  test("a rule with a protocol or a port leaves fragments alone, one about addresses takes them", () => {
    const bytes = new Uint8Array(4096);
    const [src, dst] = HOSTS.ipv4;
    const network = { kind: "ipv4", src, dst } as const;
    const transport = { kind: "udp", srcPort: 1, dstPort: 2 } as const;
    const len = buildPacket(bytes, 0, { ethernet: link, network, transport, frameBytes: 2000 });
    const fragments = fragmentPacket(bytes.slice(0, len), 1000, 1);
    expect(fragments.length).toBeGreaterThan(1);
    const flows = new FlowTable(4);
    flows.addFlowRule({ queueIdx: 1, protocol: "udp" });
    flows.addFlowRule({ queueIdx: 1, dstPort: 0 });
    for (const one of fragments) expect(flows.steer(one, 0, one.length, 3)).toBe(3);
    flows.addFlowRule({ queueIdx: 2, src });
    for (const one of fragments) expect(flows.steer(one, 0, one.length, 3)).toBe(2);
    const all = flows.addFlowRule({ queueIdx: 1 });
    expect(flows.steer(new Uint8Array(60), 0, 60, 3)).toBe(3);
    flows.removeFlowRule(all);
  });

  test("1024 rules without wildcards and 64 with, not one more; all of them match", () => {
    const flows = new FlowTable(4);
    const [src, dst] = HOSTS.ipv6;
    const rule = (srcPort: number): FlowRule => ({
      queueIdx: srcPort % 4,
      protocol: "udp",
      src,
      dst,
      srcPort,
      dstPort: 7,
    });
    for (let n = 0; n < MAX_EXACT_RULES; n++) flows.addFlowRule(rule(n));
    for (let n = 0; n < MAX_WILDCARD_RULES; n++) flows.addFlowRule({ queueIdx: 3, srcPort: 5000 + n });
    const full = expect.objectContaining({ code: "ERR_NETMEM_FLOW_TABLE_FULL", errno: "ENOSPC" });
    expect(() => flows.addFlowRule(rule(4000))).toThrow(full);
    expect(() => flows.addFlowRule({ queueIdx: 3, srcPort: 4000 })).toThrow(full);
    const bytes = new Uint8Array(256);
    for (let srcPort = 0; srcPort < MAX_EXACT_RULES; srcPort++) {
      const transport = { kind: "udp", srcPort, dstPort: 7 } as const;
      const len = buildPacket(bytes, 0, { ethernet: link, network: { kind: "ipv6", src, dst }, transport });
      expect(flows.steer(bytes, 0, len, 99)).toBe(srcPort % 4);
    }
    expect(flows.flowRules().every(({ packets }, n) => packets === (n < MAX_EXACT_RULES ? 1 : 0))).toBe(true);
  });

  test("what is wrong with a rule is said", () => {
    const flows = new FlowTable(2);
    const [v4] = HOSTS.ipv4;
    const [v6] = HOSTS.ipv6;
    const bad: [unknown, string][] = [
      [{ queueIdx: 2 }, "queueIdx"],
      [{ queueIdx: 0, src: [1, 2, 3] }, "src.length"],
      [{ queueIdx: 0, src: [1, 2, 3, 256] }, "address[3]"],
      [{ queueIdx: 0, src: v4, dst: v6 }, "family"],
      [{ queueIdx: 0, family: "ipv6", dst: v4 }, "family"],
      [{ queueIdx: 0, family: "ipx" }, "family"],
      [{ queueIdx: 0, protocol: "icmp" }, "protocol"],
      [{ queueIdx: 0, srcPort: 65_536 }, "srcPort"],
      [{ queueIdx: 0, dstPort: -1 }, "dstPort"],
    ];
    for (const [rule, param] of bad) {
      const error = expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", errno: "EINVAL", param });
      expect(() => flows.addFlowRule(rule as FlowRule)).toThrow(error);
    }
    expect(flows.ruleCount).toBe(0);
    expect(() => flows.removeFlowRule(1)).toThrow(
      expect.objectContaining({ code: "ERR_NETMEM_FLOW_UNKNOWN", errno: "ENOENT" }),
    );
  });
});

test("a NIC asks its rules before the indirection table, and keeps the hash", () => {
  const host = makeHost();
  const nic = new SimNic(host, { queueCount: 3 });
  for (const queueIdx of [0, 1, 2]) postPages(host, nic.queue(queueIdx), 4);
  nic.rss.excludeQueue(2);
  const flow: Tuple = { family: "ipv4", protocol: "udp", src: 0, dst: 1, srcPort: 1, dstPort: 2 };
  const frame = frameOf(flow);
  const queueOf = (): number => {
    const before = [0, 1, 2].map((n) => nic.queue(n).rx.completed);
    expect(nic.receive(frame, 0, frame.length)).toBe(true);
    return before.findIndex((completed, n) => completed !== nic.queue(n).rx.completed);
  };
  const usual = queueOf();
  expect(usual).toBe(nic.rss.chooseQueue(frame, 0, frame.length));
  expect(usual).not.toBe(2);
  const id = nic.flows.addFlowRule(ruleOf(flow, 63, 2));
  expect(queueOf()).toBe(2);
  expect(nic.flows.flowRules()).toMatchObject([{ id, packets: 1, bytes: frame.length }]);
  nic.flows.removeFlowRule(id);
  expect(queueOf()).toBe(usual);
});

test("a queue that is taken out of the indirection table gets no hashed packet; the others share evenly", () => {
  const rss = new Rss(4);
  rss.excludeQueue(0);
  rss.excludeQueue(0);
  const counts = [0, 0, 0, 0];
  const frame = frameOf({ family: "ipv4", protocol: "udp", src: 0, dst: 1, srcPort: 0, dstPort: 0 });
  for (let port = 0; port < 4096; port++) {
    frame.set([port >> 8, port & 255], 34);
    const queue = rss.chooseQueue(frame, 0, frame.length);
    counts[queue] = (counts[queue] ?? 0) + 1;
  }
  expect(counts[0]).toBe(0);
  for (const count of counts.slice(1)) expect(count).toBeGreaterThan(1200);
  expect(rss.chooseQueue(new Uint8Array(60), 0, 60)).not.toBe(0);
  rss.excludeQueue(1);
  rss.excludeQueue(2);
  expect(() => rss.excludeQueue(3)).toThrow(expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM" }));
});

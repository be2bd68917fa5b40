import { describe, expect, test } from "vitest";
import { crc32, findPatternMismatch, FlowSet, INTERNET_MIX, Prng } from "../src/index.ts";

const memory = new Uint8Array(10_000);

function digest(seed: number): number[] {
  const flows = new FlowSet({ prng: new Prng(seed), flowCount: 16 });
  return Array.from({ length: 100 }, () => crc32(memory, 0, flows.nextInto(memory, 0)));
}

describe("FlowSet", () => {
  test("gives the same packets for the same seed, others for another", () => {
    expect(digest(1)).toEqual(digest(1));
    expect(digest(1)).not.toEqual(digest(2));
  });

  test("covers all flows, the size mix, both IP versions and both transports", () => {
    const flows = new FlowSet({ prng: new Prng(3), flowCount: 32 });
    const sizes = new Map<number, number>();
    const seenFlows = new Set<number>();
    const kinds = new Set<string>();
    for (let nth = 0; nth < 2400; nth++) {
      const frameBytes = flows.nextInto(memory, 0);
      sizes.set(frameBytes, (sizes.get(frameBytes) ?? 0) + 1);
      seenFlows.add(flows.lastFlowIdx);
      const isIpv6 = memory[12] === 0x86;
      kinds.add(`${isIpv6 ? "ipv6" : "ipv4"}/${memory[isIpv6 ? 20 : 23]}`);
    }
    expect(seenFlows.size).toBe(32);
    expect([...kinds].sort()).toEqual(["ipv4/17", "ipv4/6", "ipv6/17", "ipv6/6"]);
    for (const { frameBytes, weight } of INTERNET_MIX) {
      expect(Math.abs((sizes.get(frameBytes) ?? 0) - weight * 200)).toBeLessThan(120);
    }
  });

  test("a flow keeps its addresses and ports, and the payload is the pattern of the packet's number", () => {
    const flows = new FlowSet({ prng: new Prng(4), flowCount: 3, ipv6Share: 0, tcpShare: 0 });
    const tuples = new Set<string>();
    for (let nth = 0; nth < 50; nth++) {
      const frameBytes = flows.nextInto(memory, 64);
      tuples.add(`${flows.lastFlowIdx} ${memory.slice(64 + 26, 64 + 38).join(".")}`);
      expect(findPatternMismatch(memory, 64 + 42, frameBytes - 42, nth)).toBe(-1);
    }
    expect(tuples.size).toBe(3);
  });

  test("takes other sizes, and refuses those that headers do not fit into", () => {
    const sizes = [{ frameBytes: 9014, weight: 1 }];
    expect(new FlowSet({ prng: new Prng(1), flowCount: 1, sizes }).nextInto(memory, 0)).toBe(9014);
    const tooSmall = [{ frameBytes: 60, weight: 1 }];
    expect(() => new FlowSet({ prng: new Prng(1), flowCount: 1, sizes: tooSmall })).toThrow(RangeError);
    expect(() => new FlowSet({ prng: new Prng(1), flowCount: 0 })).toThrow(RangeError);
  });
});

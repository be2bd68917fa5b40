import { probeLinux } from "@netmem/linux";
import { describe, expect, test } from "vitest";
import { scavengesOf } from "./scavenges.ts";

describe("five million packets cause no garbage collection", () => {
  test.for(["pool", "drop", "pass", "tx", "pass-iommu", "pass-top-pages", "skb", "xsk"])("%s", (scenario) => {
    expect(scavengesOf(scenario)).toBe(0);
  });

  test("wakeup", (context) => {
    const { available, reason } = probeLinux().systemCalls;
    if (!available) context.skip(`system calls: ${reason}`);
    expect(scavengesOf("wakeup")).toBe(0);
  });

  test("a seeded leak of one object per 32 packets is seen", () => {
    expect(scavengesOf("seeded-leak")).toBeGreaterThan(0);
  });
});

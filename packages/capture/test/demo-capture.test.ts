import { readFileSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { LinkType } from "../src/index.ts";
import { readStreamed } from "./capture-bytes.ts";
import { readWholeFile } from "./whole-file-reader.ts";

const path = new URL("../../../examples/mixed-nic/capture/mixed.pcap", import.meta.url);

test("the capture of the demo, recorded by tcpdump: both readers read the same packets", () => {
  const file = readFileSync(path);
  const whole = readWholeFile(file);
  expect(readStreamed(file, [65_536]).packets).toEqual(whole);
  expect(readStreamed(file, [1000, 77]).reader.packetCount).toBe(whole.length);
  expect(whole.length).toBeGreaterThanOrEqual(3000);
  expect(statSync(path).size).toBeLessThanOrEqual(2_000_000);
  expect(new Set(whole.map(({ linkType }) => linkType))).toEqual(new Set([LinkType.ethernet]));
});

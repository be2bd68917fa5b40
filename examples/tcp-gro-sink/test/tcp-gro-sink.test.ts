import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CaptureReader, createPcapWriter, PacketInfo, ReadStatus } from "@netmem/capture";
import { expect, test } from "vitest";
import { FlowLog } from "../flow-log.ts";
import { Stand } from "../stand.ts";

const capture = fileURLToPath(new URL("../../mixed-nic/capture/mixed.pcap", import.meta.url));

test("every TCP byte of the capture reaches the sink once, in order, in fewer packets; every page goes home", async () => {
  const stand = new Stand();
  await stand.replay(capture);
  const { sink, sent, driver, skbs } = stand;
  expect(sink.log.differencesTo(sent)).toEqual([]);
  expect([sink.log.bytes, sink.log.flowCount]).toEqual([sent.bytes, sent.flowCount]);
  expect(sent.bytes).toBeGreaterThan(500_000);
  expect(sink.arrived - sink.delivered).toBeGreaterThan(50);
  expect(sink.maxSegments).toBeGreaterThan(3);
  expect([skbs.liveCount, driver.inflight()]).toEqual([0, 0]);
});

/** The capture as a recorder with a snap length of 300 bytes would have made it. */
function cutCapture(): Uint8Array {
  const chunks: Uint8Array[] = [];
  const writer = createPcapWriter({ onChunk: (chunk) => chunks.push(chunk), snapLenBytes: 300 });
  const reader = new CaptureReader();
  const [frame, info] = [new Uint8Array(16_384), new PacketInfo()];
  reader.push(readFileSync(capture));
  while (reader.nextInto(frame, 0, frame.length, info) === ReadStatus.packet) {
    writer.writePacket(frame, 0, info.storedLenBytes, info);
  }
  writer.flush();
  return Buffer.concat(chunks);
}

test("what the recorder cut is no TCP payload: neither what was in the buffer before nor an error", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tcp-gro-sink-"));
  try {
    const file = join(dir, "cut.pcap");
    writeFileSync(file, cutCapture());
    const stand = new Stand();
    await stand.replay(file);
    const { sink, sent, driver, skbs } = stand;
    expect(sink.log.differencesTo(sent)).toEqual([]);
    expect([sink.log.bytes > 1000, skbs.liveCount, driver.inflight()]).toEqual([true, 0, 0]);
    // A whole packet carries no more than its 300 bytes less headers.
    expect(sent.bytes).toBeLessThan(sink.arrived * 246);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("the log notices a byte that differs, and bytes that are missing or in another order", () => {
  const log = (...pieces: string[]): FlowLog => {
    const made = new FlowLog();
    for (const piece of pieces) made.add("a", new TextEncoder().encode(piece));
    return made;
  };
  expect(log("abc", "def").differencesTo(log("abcdef"))).toEqual([]);
  for (const other of [log("abcdeg"), log("abcde"), log("def", "abc"), log()]) {
    expect(log("abcdef").differencesTo(other)).toEqual(["a"]);
  }
});

test("the program says what it found and ends with 0", () => {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, expect.stringContaining("0 wrong")]);
  expect(stdout).toContain("left behind: 0 skbs, 0 pages");
});

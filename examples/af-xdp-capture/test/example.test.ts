import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runExample, whyNoAfXdp } from "@netmem-examples/af-xdp-stand/run-example";
import { CaptureReader, PacketInfo, ReadStatus } from "@netmem/capture";
import { afterEach, beforeEach, expect, test } from "vitest";

const whyNot = whyNoAfXdp();
let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "netmem-capture-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function countPackets(path: string): number {
  const reader = new CaptureReader();
  reader.push(readFileSync(path));
  reader.finish();
  const memory = new Uint8Array(2048);
  const info = new PacketInfo();
  while (reader.nextInto(memory, 0, memory.length, info) === ReadStatus.packet) {
    expect([info.capturedLenBytes, memory[0], memory[59]]).toEqual([60, 0xc0, 0xc0]);
  }
  return reader.packetCount;
}

/** What a tool of this machine counts; null without the tool. */
function countBy(tool: string, args: readonly string[], count: (output: string) => number): number | null {
  const { error, stdout } = spawnSync(tool, args, { encoding: "utf8", maxBuffer: 64 * 2 ** 20 });
  return error === undefined ? count(stdout) : null;
}

test("the file has every packet, for us, for tcpdump and for capinfos", (context) => {
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const path = join(dir, "test.pcapng");
  const { code, lines } = runExample(import.meta.url, ["--packets", "5000", "--queues", "2", "--write", path]);
  const written = Number(/wrote (\d+) packets/.exec(lines.at(-1) ?? "")?.[1]);
  expect([code, written >= 5000]).toEqual([0, true]);
  expect(countPackets(path)).toBe(written);
  const tcpdump = countBy("tcpdump", ["-n", "-q", "-r", path], (output) => output.split("\n").length - 1);
  const capinfos = countBy("capinfos", ["-c", "-M", path], (output) => Number(/packets:\s+(\d+)/.exec(output)?.[1]));
  if (tcpdump === null) console.log("tcpdump is not installed: not asked");
  if (capinfos === null) console.log("capinfos is not installed: not asked");
  expect([tcpdump ?? written, capinfos ?? written]).toEqual([written, written]);
});

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FlowSet, Prng } from "@netmem/testing";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { createPcapngWriter, createPcapWriter, LinkType } from "../src/index.ts";
import { concat } from "./capture-bytes.ts";
import { readWholeFile } from "./whole-file-reader.ts";

const PACKET_COUNT = 200;
const memory = new Uint8Array(2048);
let dir = "";

beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), "netmem-capture-"))));
afterAll(() => rmSync(dir, { recursive: true }));

function needTool(ctx: TestContext, tool: string): void {
  if (spawnSync(tool, ["--version"]).error !== undefined) ctx.skip(`${tool} is not installed`);
}

/** The same packets in every format that the writers write. */
function files(): Map<string, Uint8Array> {
  const made = new Map<string, Uint8Array>();
  for (const bigEndian of [false, true]) {
    for (const format of ["us", "ns", "ng"] as const) {
      const chunks: Uint8Array[] = [];
      const onChunk = (chunk: Uint8Array): void => void chunks.push(chunk);
      const ng = createPcapngWriter({ onChunk, bigEndian });
      const writer = format === "ng" ? ng : createPcapWriter({ onChunk, bigEndian, resolution: format });
      if (format !== "ng") chunks.length = 0;
      ng.addInterface({ linkType: LinkType.ethernet, name: "test0", tsResolution: 9 });
      const flows = new FlowSet({ prng: new Prng(1), flowCount: 20 });
      for (let nth = 0; nth < PACKET_COUNT; nth++) {
        const frameBytes = flows.nextInto(memory, 0);
        const meta = { originalLenBytes: frameBytes, tsSec: 1_700_000_000 + nth, tsNs: nth * 1000, interfaceIdx: 0 };
        writer.writePacket(memory, 0, frameBytes, meta);
      }
      writer.flush();
      made.set(`${format}-${bigEndian ? "big" : "little"}.pcap`, concat(chunks));
    }
  }
  return made;
}

function onDisk(name: string, bytes: Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

describe("files that the writers write, read by other programs", () => {
  test("tshark reads every format, sees the times and lengths, and finds every checksum right", (ctx) => {
    needTool(ctx, "tshark");
    const fields = [
      "frame.time_epoch",
      "frame.len",
      "ip.checksum.status",
      "tcp.checksum.status",
      "udp.checksum.status",
    ];
    const checks = ["ip", "tcp", "udp"].flatMap((layer) => ["-o", `${layer}.check_checksum:TRUE`]);
    for (const [name, bytes] of files()) {
      const args = ["-r", onDisk(name, bytes), ...checks, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
      const output = execFileSync("tshark", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      const rows = output
        .trimEnd()
        .split("\n")
        .map((line) => line.split("\t"));
      const expected = readWholeFile(bytes).map(({ timeNs, data }) => [timeNs ?? 0n, data.length]);
      const seen = rows.map(([epoch = "", length]) => [BigInt(epoch.replace(".", "")), Number(length)]);
      expect(seen).toEqual(expected);
      expect(rows.length).toBe(PACKET_COUNT);
      for (const [, , ip, tcp, udp] of rows) {
        expect(["1", ""]).toContain(ip);
        expect(["/1", "1/"]).toContain(`${tcp}/${udp}`);
      }
    }
  });

  test("capinfos counts the packets of every format", (ctx) => {
    needTool(ctx, "capinfos");
    for (const [name, bytes] of files()) {
      const output = execFileSync("capinfos", ["-c", "-M", onDisk(name, bytes)], { encoding: "utf8" });
      expect(output).toMatch(new RegExp(`Number of packets: +${PACKET_COUNT}\n`));
    }
  });

  test("tcpdump reads every format", (ctx) => {
    needTool(ctx, "tcpdump");
    for (const [name, bytes] of files()) {
      const args = ["-n", "-t", "-q", "-r", onDisk(name, bytes)];
      const output = execFileSync("tcpdump", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      expect(output.trimEnd().split("\n").length).toBe(PACKET_COUNT);
    }
  });
});

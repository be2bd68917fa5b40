import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Report } from "../report.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const CAPTURE = readFileSync(new URL("../capture/mixed.pcap", import.meta.url));
const CAPTURE_PACKETS = 3464;

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "mixed-nic-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

describe("a good capture", () => {
  test("--json prints one document: every packet received, verified, home", () => {
    const { status, stdout, stderr } = run("--json", "--loop", "2");
    expect([status, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout) as Report;
    expect(Object.keys(report)).toEqual(["queues", "capture", "verified", "total"]);
    expect(report.capture).toEqual({ packets: CAPTURE_PACKETS });
    expect(report.verified).toEqual({ packets: 2 * CAPTURE_PACKETS, crcErrors: 0 });
    expect(report.total.packets).toBe(2 * CAPTURE_PACKETS);
    expect(report.total.mpps).toBeGreaterThan(0);
    expect(report.queues.map(({ name, composition, inFlight }) => [name, composition, inFlight])).toEqual([
      ["sim0-rx-0", "page_pool", 0],
      ["sim0-rx-1", "page_shared", 0],
      ["sim0-rx-2", "page_order0", 0],
      ["sim0-rx-3", "page_pool over huge", 0],
      ["sim0-rx-4", "xsk", 0],
      ["sim0-rx-5", "gve_devmem", 0],
    ]);
    for (const queue of report.queues) {
      expect(Object.keys(queue).slice(4, 7)).toEqual(["nsPerPacket", "alloc", "recycle"]);
      expect(queue.packets).toBeGreaterThan(500);
      expect(queue.alloc.fast + queue.alloc.slow).toBeGreaterThan(0);
      const { hits = 0, misses = 0 } = queue.iotlb ?? {};
      // Every packet takes a buffer at least, and a ring of 1024 pages is far beyond an IOTLB, unless they are huge.
      expect(hits + misses).toBeGreaterThanOrEqual(queue.packets);
      if (queue.composition === "page_pool over huge") expect(misses).toBeLessThan(0.1 * queue.packets);
      else expect(misses).toBeGreaterThan(0.9 * queue.packets);
    }
    expect(report.queues.reduce((sum, queue) => sum + queue.packets, 0)).toBe(report.total.packets);
    // 16 bytes of record header per packet, 24 of file header: the rest is packet bytes.
    const bytes = report.queues.reduce((sum, queue) => sum + queue.bytes, 0);
    expect(bytes).toBe(2 * (CAPTURE.length - 24 - 16 * CAPTURE_PACKETS));
  });

  test("without --json it prints a table, and no escape codes where nobody watches", () => {
    const { status, stdout, stderr } = run("--loop", "1");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^queue +composition +packets.*IOTLB misses\/packet/);
    expect(stdout).toContain("3464 packets in the capture, 3464 received, 3464 verified, 0 wrong");
    expect(stdout.includes("\u001b")).toBe(false);
  });

  test.for(["none", "direct", "bounce"])("--dma %s: verified too, and no IOTLB to count", (kind) => {
    const { status, stdout } = run("--json", "--loop", "1", "--dma", kind);
    const report = JSON.parse(stdout) as Report;
    expect([status, report.verified.packets]).toEqual([0, CAPTURE_PACKETS]);
    expect(report.queues.map((queue) => [queue.inFlight, queue.iotlb])).toEqual(report.queues.map(() => [0, null]));
  });

  test("--help says how to use it", () => {
    const { status, stdout } = run("--help");
    expect([status, stdout.startsWith("Usage: mixed-nic")]).toEqual([0, true]);
  });
});

describe("bad input: one line, exit code 2, no stack, and what was counted stays", () => {
  function expectBad(args: string[], line: RegExp): Report | null {
    const { status, stdout, stderr } = run(...args);
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(status).toBe(2);
    return stdout === "" ? null : (JSON.parse(stdout) as Report);
  }

  test("cut in the middle of a packet", () => {
    const path = fileOf("cut.pcap", CAPTURE.subarray(0, 100_000));
    const report = expectBad(["--json", "--pcap", path], /cut\.pcap: byte 100000: .*ends inside/);
    expect(report?.verified.packets).toBe(report?.capture.packets);
    expect(report?.capture.packets).toBeGreaterThan(100);
    expect(report?.queues.map((queue) => queue.inFlight)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("a length that cannot be", () => {
    const bytes = Uint8Array.from(CAPTURE);
    bytes.fill(0xff, 24 + 8, 24 + 12);
    const report = expectBad(["--json", "--pcap", fileOf("corrupt.pcap", bytes)], /corrupt\.pcap: byte 24: /);
    expect(report?.total).toEqual({ packets: 0, mpps: 0 });
  });

  test("empty, not a capture, missing, a directory", () => {
    expectBad(["--json", "--pcap", fileOf("empty.pcap", new Uint8Array(0))], /empty\.pcap: byte 0: .*empty/);
    expectBad(["--json", "--pcap", MAIN], /main\.ts: byte 0: /);
    expectBad(["--json", "--pcap", join(dir, "none.pcap")], /none\.pcap: byte 0: no such file/);
    expectBad(["--json", "--pcap", dir], /byte 0: is a directory/);
  });

  test("a file that may not be read", ({ skip }) => {
    if (process.getuid?.() === 0) skip("root reads everything");
    const path = fileOf("secret.pcap", CAPTURE.subarray(0, 100));
    chmodSync(path, 0);
    expectBad(["--json", "--pcap", path], /secret\.pcap: byte 0: permission denied/);
  });

  test("flags", () => {
    for (const loop of ["0", "-1", "1.5", "many", "", "1000001"]) {
      expect(expectBad([`--loop=${loop}`], /^mixed-nic: --loop is '.*', expected an integer/)).toBe(null);
    }
    expectBad(["--loop"], /--loop/);
    expectBad(["--nonsense"], /--nonsense/);
    expectBad(["--dma=magic"], /^mixed-nic: --dma is 'magic', expected one of none, direct, iommu, bounce/);
    expectBad(["stray.pcap"], /stray\.pcap/);
  });

  test("packets that no NIC takes are skipped, and said so", () => {
    const header = CAPTURE.subarray(0, 24);
    const record = (len: number): Uint8Array => {
      const bytes = new Uint8Array(16 + len);
      new DataView(bytes.buffer).setUint32(8, len, true);
      new DataView(bytes.buffer).setUint32(12, len, true);
      return bytes;
    };
    const path = fileOf(
      "odd.pcap",
      Uint8Array.of(...header, ...record(13), ...record(14), ...record(60), ...record(16_385)),
    );
    const { status, stdout, stderr } = run("--json", "--loop", "1", "--pcap", path);
    expect([status, stderr]).toEqual([0, "mixed-nic: 2 packets have a length no NIC takes\n"]);
    expect(JSON.parse(stdout)).toMatchObject({ capture: { packets: 4 }, verified: { packets: 2, crcErrors: 0 } });
  });
});

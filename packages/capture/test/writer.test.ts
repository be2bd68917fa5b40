import { describe, expect, test } from "vitest";
import {
  CaptureErrorCode,
  CaptureReader,
  createPcapngWriter,
  createPcapWriter,
  LinkType,
  PacketInfo,
  type CaptureWriter,
} from "../src/index.ts";
import { concat, readStreamed } from "./capture-bytes.ts";

const meta = { originalLenBytes: 0, tsSec: 1, tsNs: 2, interfaceIdx: 0 };
const bytes = Uint8Array.from({ length: 1000 }, (_, idx) => idx & 0xff);
const ignore = (): void => {};

describe("writers", () => {
  test("write exactly the bytes of the formats", () => {
    const chunks: Uint8Array[] = [];
    const pcap = createPcapWriter({ onChunk: (chunk) => chunks.push(chunk), bigEndian: true });
    pcap.writePacket(bytes, 1, 3, { ...meta, tsNs: 4999 });
    pcap.flush();
    expect(Buffer.from(concat(chunks)).toString("hex")).toBe(
      "a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001 00000001 00000004 00000003 00000003 010203".replaceAll(
        " ",
        "",
      ),
    );
    chunks.length = 0;
    const ng = createPcapngWriter({ onChunk: (chunk) => chunks.push(chunk), bigEndian: true });
    ng.addInterface({ linkType: LinkType.raw, name: "if0", snapLenBytes: 2, tsResolution: 9, tsOffsetSec: 1 });
    ng.writePacket(bytes, 1, 3, meta);
    ng.flush();
    const section = "0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffff ffffffff 0000001c";
    const options = "0002 0003 69663000 0009 0001 09000000 000e 0008 0000000000000001 0000 0000";
    const iface = `00000001 00000034 0065 0000 00000002 ${options} 00000034`;
    const packet = "00000006 00000024 00000000 00000000 00000002 00000002 00000003 01020000 00000024";
    expect(Buffer.from(concat(chunks)).toString("hex")).toBe(`${section}${iface}${packet}`.replaceAll(" ", ""));
  });

  test("give full chunks away as they come, and never touch them again", () => {
    const chunks: Uint8Array[] = [];
    const writer = createPcapWriter({ onChunk: (chunk) => chunks.push(chunk), chunkBytes: 256 });
    for (let nth = 0; nth < 10; nth++) writer.writePacket(bytes, 0, 100, meta);
    expect(chunks.map(({ length }) => length)).toEqual([24 + 2 * 116, 232, 232, 232]);
    const copies = chunks.map((chunk) => chunk.slice());
    writer.writePacket(bytes, 0, 1000, meta);
    writer.flush();
    writer.flush();
    expect(chunks.slice(0, 4)).toEqual(copies);
    expect(chunks.at(-1)?.length).toBe(1016);
    expect(readStreamed(concat(chunks)).packets.length).toBe(11);
    expect([writer.packetCount, writer.totalBytes]).toEqual([11, concat(chunks).length]);
  });

  test("a name keeps its replacement characters, also those that stand for lone surrogates", () => {
    const chunks: Uint8Array[] = [];
    const writer = createPcapngWriter({ onChunk: (chunk) => chunks.push(chunk) });
    writer.addInterface({ linkType: LinkType.raw, name: "a\ufffdb\ud800c" });
    writer.writePacket(bytes, 0, 10, meta);
    writer.flush();
    const reader = new CaptureReader();
    reader.push(concat(chunks));
    reader.nextInto(new Uint8Array(10), 0, 10, new PacketInfo());
    expect(reader.interfaces.map(({ name }) => name)).toEqual(["a\ufffdb\ufffdc"]);
  });

  test("an interface can be added between packets", () => {
    const chunks: Uint8Array[] = [];
    const writer = createPcapngWriter({ onChunk: (chunk) => chunks.push(chunk) });
    writer.addInterface({ linkType: LinkType.ethernet });
    writer.writePacket(bytes, 0, 10, meta);
    const second = writer.addInterface({ linkType: LinkType.raw });
    writer.writePacket(bytes, 0, 10, { ...meta, interfaceIdx: second });
    writer.flush();
    expect(readStreamed(concat(chunks)).packets.map(({ linkType }) => linkType)).toEqual([1, 101]);
  });

  test("refuse bad packets and write nothing of them", () => {
    const pcapng = createPcapngWriter({ onChunk: ignore });
    pcapng.addInterface({ linkType: LinkType.ethernet, tsOffsetSec: 1 });
    const pcap = createPcapWriter({ onChunk: ignore });
    const attempt = (writer: CaptureWriter, off: number, length: number, changed: object): void => {
      const before = writer.totalBytes;
      const write = (): void => writer.writePacket(bytes, off, length, { ...meta, ...changed });
      expect(write).toThrow(CaptureErrorCode.misuse);
      expect([writer.totalBytes, writer.packetCount]).toEqual([before, 0]);
    };
    for (const writer of [pcapng, pcap]) {
      attempt(writer, 999, 2, {});
      attempt(writer, -1, 2, {});
      attempt(writer, 0, Number.NaN, {});
      attempt(writer, 0, 1.5, {});
      attempt(writer, 0.5, 1, {});
      attempt(writer, 0, 1, { tsNs: 1_000_000_000 });
      attempt(writer, 0, 1, { tsNs: 0.5 });
      attempt(writer, 0, 1, { tsSec: 0.5 });
      attempt(writer, 0, 1, { tsSec: -1 });
      attempt(writer, 0, 1, { tsSec: 2 ** 33 });
      attempt(writer, 0, 1, { interfaceIdx: 1 });
      attempt(writer, 0, 1, { originalLenBytes: 2 ** 32 });
    }
    attempt(pcapng, 0, 1, { tsSec: 0 });
  });

  test("refuse bad options", () => {
    const writer = createPcapngWriter({ onChunk: ignore });
    for (const wrong of [
      { linkType: 65_536 },
      { linkType: -1 },
      { linkType: 1, snapLenBytes: -1 },
      { linkType: 1, tsResolution: 10 },
      { linkType: 1, tsResolution: 0x98 },
      { linkType: 1, tsOffsetSec: 0.5 },
      { linkType: 1, name: "x".repeat(257) },
    ]) {
      expect(() => writer.addInterface(wrong)).toThrow(CaptureErrorCode.misuse);
    }
    for (const wrong of [{ linkType: 65_536 }, { snapLenBytes: 0 }, { snapLenBytes: 2 ** 32 }, { chunkBytes: 63 }]) {
      expect(() => createPcapWriter({ onChunk: ignore, ...wrong })).toThrow(CaptureErrorCode.misuse);
    }
  });
});

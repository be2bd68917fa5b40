import { describe, expect, test } from "vitest";
import { crc32, foldChecksum, ipv4Address, ipv6Address, macAddress, sumWords } from "../src/index.ts";

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("crc32", () => {
  test("gives the published check value", () => {
    const bytes = new TextEncoder().encode("__123456789__");
    expect(crc32(bytes, 2, 9) >>> 0).toBe(0xcbf43926);
    expect(crc32(bytes, 6, 5, crc32(bytes, 2, 4)) >>> 0).toBe(0xcbf43926);
    expect(crc32(bytes, 0, 0)).toBe(0);
  });

  test("refuses a range outside the bytes", () => {
    expect(() => crc32(new Uint8Array(4), 2, 3)).toThrow(RangeError);
    expect(() => crc32(new Uint8Array(4), -1, 3)).toThrow(RangeError);
  });
});

describe("internet checksum", () => {
  test("agrees with the example of RFC 1071 and with a real header", () => {
    expect(foldChecksum(sumWords(hex("0001 f203 f4f5 f6f7"), 0, 8))).toBe(~0xddf2 & 0xffff);
    expect(foldChecksum(sumWords(hex("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7"), 0, 20))).toBe(0xb861);
  });

  test("an odd last byte counts as a high byte, and sums can go on", () => {
    expect(sumWords(hex("0102 03"), 0, 3)).toBe(0x0102 + 0x0300);
    expect(sumWords(hex("0102 0304"), 2, 2, sumWords(hex("0102 0304"), 0, 2))).toBe(0x0406);
  });
});

describe("addresses", () => {
  test("are parsed", () => {
    expect(toHex(macAddress("02:00:00:00:0a:ff"))).toBe("020000000aff");
    expect(toHex(ipv4Address("10.0.255.1"))).toBe("0a00ff01");
    expect(toHex(ipv6Address("fd00::1"))).toBe("fd000000000000000000000000000001");
    expect(toHex(ipv6Address("::"))).toBe("00".repeat(16));
    expect(toHex(ipv6Address("1:2:3:4:5:6:7::"))).toBe("00010002000300040005000600070000");
    expect(toHex(ipv6Address("1:2:3:4:5:6:7:8"))).toBe("00010002000300040005000600070008");
  });

  test("are refused when they are not addresses", () => {
    const wrong = ["", "1:2:3:4:5:6:7:8::", "1::2::3", "1:2", "g::", "12345::", "1:::2"];
    for (const text of wrong) expect(() => ipv6Address(text)).toThrow(RangeError);
    for (const text of ["10.0.0", "10.0.0.256", "10.0.0.-1", "10.0.0.0x1"]) {
      expect(() => ipv4Address(text)).toThrow(RangeError);
    }
    expect(() => macAddress("02:00:00:00:00")).toThrow(RangeError);
    expect(() => macAddress("02:00:00:00:00:100")).toThrow(RangeError);
  });
});

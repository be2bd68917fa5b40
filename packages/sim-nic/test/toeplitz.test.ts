import { ipv4Address, ipv6Address } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { RSS_DEFAULT_KEY, Toeplitz } from "../src/index.ts";

/* The verification suite of Microsoft's RSS specification: destination, source, hash of addresses, hash with ports. */
const ipv4Vectors = [
  ["161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178],
  ["65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea],
  ["12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a],
  ["209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f],
  ["202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2],
] as const;
const ipv6Vectors = [
  ["3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d],
  ["ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf],
  ["fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985, 0x02d1feef],
] as const;

function ports(src: number, dst: number): number[] {
  return [src >> 8, src & 255, dst >> 8, dst & 255];
}

const toeplitz = new Toeplitz();

describe("published vectors", () => {
  test.each(ipv4Vectors)("%s:%i from %s:%i", (dst, dstPort, src, srcPort, pair, four) => {
    // A gap between addresses and ports, as IP options would make.
    const bytes = Uint8Array.of(9, ...ipv4Address(src), ...ipv4Address(dst), 0, 0, 0, 0, ...ports(srcPort, dstPort));
    expect(toeplitz.hashIpv4(bytes, 1) >>> 0).toBe(pair);
    expect(toeplitz.hashIpv4Ports(bytes, 1, 13) >>> 0).toBe(four);
  });

  test.each(ipv6Vectors)("%s:%i from %s:%i", (dst, dstPort, src, srcPort, pair, four) => {
    const bytes = Uint8Array.of(...ipv6Address(src), ...ipv6Address(dst), 7, 7, ...ports(srcPort, dstPort));
    expect(toeplitz.hashIpv6(bytes, 0) >>> 0).toBe(pair);
    expect(toeplitz.hashIpv6Ports(bytes, 0, 34) >>> 0).toBe(four);
  });
});

describe("keys", () => {
  test("another key gives other hashes; a key of zeros gives zero", () => {
    const bytes = Uint8Array.from({ length: 36 }, (_, n) => n + 1);
    const key = RSS_DEFAULT_KEY.with(39, 0xf8);
    // The last but one bit of the key only meets the last bit of a 36-byte input; the last bit meets none.
    expect(new Toeplitz(key).hash(bytes.with(35, 0), 0, 36)).toBe(toeplitz.hash(bytes.with(35, 0), 0, 36));
    expect(new Toeplitz(key).hash(bytes.with(35, 1), 0, 36)).not.toBe(toeplitz.hash(bytes.with(35, 1), 0, 36));
    expect(new Toeplitz(new Uint8Array(40)).hash(bytes, 0, 36)).toBe(0);
  });

  test("is checked", () => {
    expect(() => new Toeplitz(new Uint8Array(39))).toThrow("key.length");
    expect(() => new Toeplitz(RSS_DEFAULT_KEY.with(3, 256))).toThrow("key[3]");
  });
});

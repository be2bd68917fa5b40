import { failParam } from "@netmem/core";

const IPV6_GROUPS = 8;

function parseV4(text: string): number[] | null {
  const parts = text.split(".");
  const bytes = parts.map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  return parts.length === 4 && bytes.every((byte) => byte < 256) ? bytes : null;
}

/** Groups of one side of "::", as bytes; null for anything that is no group. */
function parseGroups(text: string): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  for (const group of text.split(":")) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return null;
    const value = Number.parseInt(group, 16);
    bytes.push(value >>> 8, value & 0xff);
  }
  return bytes;
}

function parseV6(text: string): number[] | null {
  const [left = "", right, ...more] = text.split("::");
  const head = parseGroups(left);
  const tail = parseGroups(right ?? "");
  if (head === null || tail === null || more.length > 0) return null;
  const missing = IPV6_GROUPS * 2 - head.length - tail.length;
  if (right === undefined ? missing !== 0 : missing < 2) return null;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

/**
 * The 4 or 16 bytes of an address in its usual notation (without an embedded IPv4 part or a zone).
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL).
 */
export function parseAddress(text: string): Uint8Array {
  const bytes = text.includes(":") ? parseV6(text) : parseV4(text);
  if (bytes === null) return failParam("address", text, "an IPv4 or IPv6 address", "Write it as 10.0.0.1 or fd00::1.");
  return Uint8Array.from(bytes);
}

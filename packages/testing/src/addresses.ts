/** The 6 bytes of a MAC address written "02:00:00:00:00:01". Throws RangeError for anything else. */
export function macAddress(text: string): Uint8Array {
  return Uint8Array.from(parts(text, ":", 6, 16, 0xff));
}

/** The 4 bytes of an IPv4 address written "10.0.0.1". Throws RangeError for anything else. */
export function ipv4Address(text: string): Uint8Array {
  return Uint8Array.from(parts(text, ".", 4, 10, 0xff));
}

/** The 16 bytes of an IPv6 address written "fd00::1" (no zone, no embedded IPv4). Throws RangeError for anything else. */
export function ipv6Address(text: string): Uint8Array {
  const halves = text.split("::");
  const missing = 8 - halves.reduce((count, half) => count + (half === "" ? 0 : half.split(":").length), 0);
  if (halves.length > 2 || (halves.length === 2 && missing < 1)) throw badAddress(text);
  const full = halves.length === 1 ? text : expand(halves[0] ?? "", halves[1] ?? "", missing);
  const groups = parts(full, ":", 8, 16, 0xffff);
  return Uint8Array.from(groups.flatMap((group) => [group >>> 8, group & 0xff]));
}

function expand(head: string, tail: string, missing: number): string {
  const zeros = Array.from({ length: missing }, () => "0").join(":");
  return [head, zeros, tail].filter((part) => part !== "").join(":");
}

function parts(text: string, separator: string, count: number, radix: number, max: number): number[] {
  const numbers = text.split(separator).map((part) => (isNumeral(part, radix) ? Number.parseInt(part, radix) : -1));
  if (numbers.length !== count || numbers.some((value) => value < 0 || value > max)) throw badAddress(text);
  return numbers;
}

function isNumeral(text: string, radix: number): boolean {
  return radix === 16 ? /^[0-9a-f]{1,4}$/i.test(text) : /^\d{1,3}$/.test(text);
}

function badAddress(text: string): RangeError {
  return new RangeError(`not an address: "${text}"`);
}

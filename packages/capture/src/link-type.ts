/** The link types that this package names. Readers report any other by its number and refuse none. */
export const LinkType = {
  /** BSD loopback: a 4-byte address family in the byte order of the machine that recorded it. */
  null: 0,
  ethernet: 1,
  /** Raw IP as OpenBSD files number it. */
  rawOpenBsd: 14,
  /** Raw IP as some other BSD files number it. */
  rawBsd: 12,
  /** Raw IP, version 4 or 6 by the first four bits. */
  raw: 101,
  linuxSll: 113,
  ipv4: 228,
  ipv6: 229,
  linuxSll2: 276,
} as const;

/** Whether packets of this link type start with their IP header. */
export function isRawIp(linkType: number): boolean {
  switch (linkType) {
    case LinkType.raw:
    case LinkType.rawBsd:
    case LinkType.rawOpenBsd:
    case LinkType.ipv4:
    case LinkType.ipv6:
      return true;
    default:
      return false;
  }
}

import { checkInt, failParam } from "@netmem/core";

const protocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/**
 * Which packets a program takes. A field that is left out matches everything; all fields given must match. A rule for
 * the queues of a device (`FlowRule` of `@netmem/netdev`, without its queue) is one of these.
 */
export interface FilterRule {
  /** Behind all VLAN tags, e.g. 0x0806 for ARP. */
  readonly etherType?: number;
  /** Identifier of the outermost VLAN tag, 1 to 4094. Left out: tagged or not. */
  readonly vlanId?: number;
  /** Follows from an address if there is one. */
  readonly family?: "ipv4" | "ipv6";
  /** Protocol of IPv4, next header of IPv6. No rule with a protocol or a port matches a fragment. */
  readonly protocol?: keyof typeof protocols | number;
  /** Address in network order: 4 bytes or 16. */
  readonly src?: ArrayLike<number>;
  readonly dst?: ArrayLike<number>;
  /** Port of TCP and UDP, 0 to 65535; without `protocol` of either. */
  readonly srcPort?: number;
  readonly dstPort?: number;
}

const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const families = { ipv4: ETH_P_IP, ipv6: ETH_P_IPV6 } as const;

/** A rule in numbers; null matches everything. Addresses are 32-bit words as a little-endian load reads them. */
export interface CompiledRule {
  readonly etherType: number | null;
  readonly vlanId: number | null;
  readonly protocol: number | null;
  readonly src: readonly number[];
  readonly dst: readonly number[];
  readonly srcPort: number | null;
  readonly dstPort: number | null;
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `param` names the field */
export function compileRule(rule: FilterRule): CompiledRule {
  return {
    etherType: etherTypeOf(rule),
    vlanId: rule.vlanId === undefined ? null : checkInt("vlanId", rule.vlanId, 1, 4094),
    protocol: protocolOf(rule),
    src: wordsOf("src", rule.src),
    dst: wordsOf("dst", rule.dst),
    srcPort: rule.srcPort === undefined ? null : checkInt("srcPort", rule.srcPort, 0, 65535),
    dstPort: rule.dstPort === undefined ? null : checkInt("dstPort", rule.dstPort, 0, 65535),
  };
}

function protocolOf({ protocol }: FilterRule): number | null {
  if (protocol === undefined) return null;
  if (typeof protocol === "number") return checkInt("protocol", protocol, 0, 255);
  return protocols[protocol] ?? failParam("protocol", protocol, Object.keys(protocols).join(", "), "Use its number.");
}

/** What the rule says about the EtherType, in one number, from up to four fields that must agree. */
function etherTypeOf(rule: FilterRule): number | null {
  const said: number[] = [];
  if (rule.etherType !== undefined) said.push(checkInt("etherType", rule.etherType, 0x0600, 0xffff));
  if (rule.family !== undefined) said.push(familyType(rule.family));
  if (rule.src !== undefined) said.push(rule.src.length === 4 ? ETH_P_IP : ETH_P_IPV6);
  if (rule.dst !== undefined) said.push(rule.dst.length === 4 ? ETH_P_IP : ETH_P_IPV6);
  const first = said[0] ?? null;
  if (said.some((one) => one !== first)) {
    failParam("rule", JSON.stringify(rule), "fields of one address family", "Make one rule for each family.");
  }
  return first;
}

function familyType(family: keyof typeof families): number {
  return families[family] ?? failParam("family", family, Object.keys(families).join(", "), "Leave it out for both.");
}

function wordsOf(param: string, address: ArrayLike<number> | undefined): readonly number[] {
  if (address === undefined) return [];
  const bytes = Uint8Array.from(address);
  if (bytes.length !== 4 && bytes.length !== 16) {
    failParam(param, Array.from(address).join("."), "4 bytes or 16", "Pass the address in network order.");
  }
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, n) => view.getInt32(n * 4, true));
}

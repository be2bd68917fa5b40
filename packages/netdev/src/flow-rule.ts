/**
 * Which packets go to a queue whatever their hash says (ethtool: `-N flow-type ... action`). A field that is left out
 * matches everything; a rule without wildcards names one flow.
 */
export interface FlowRule {
  /** Queue that the packets go to. */
  readonly queueIdx: number;
  /** Follows from an address if there is one. */
  readonly family?: "ipv4" | "ipv6";
  /** Fragments have none that counts: no rule with a protocol or a port matches them. */
  readonly protocol?: "tcp" | "udp";
  /** Address in network order: 4 bytes or 16. */
  readonly src?: ArrayLike<number>;
  readonly dst?: ArrayLike<number>;
  /** 0 to 65535; without `protocol` of TCP and UDP alike. */
  readonly srcPort?: number;
  readonly dstPort?: number;
}

/** A rule that is in force, and what it did so far. */
export interface FlowRuleInfo {
  readonly id: number;
  readonly rule: FlowRule;
  readonly packets: number;
  readonly bytes: number;
}

/**
 * Hardware that steers flows. Rules without wildcards come first, in no order, because a packet matches at most one;
 * then the others, the one that was added first before the next. Control path.
 */
export interface FlowSteering {
  /**
   * Puts a rule in force and returns its id, which is never used again.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), `ERR_NETMEM_FLOW_EXISTS` (EEXIST) for a rule that matches the same as one
   * in force, `ERR_NETMEM_FLOW_TABLE_FULL` (ENOSPC).
   */
  addFlowRule(rule: FlowRule): number;
  /** @throws `ERR_NETMEM_FLOW_UNKNOWN` (ENOENT) */
  removeFlowRule(id: number): void;
  /** Rules in force, in the order in which they were added. */
  flowRules(): FlowRuleInfo[];
}

/*
 * data path
 *
 * Which frames go to a queue whatever their hash says. Rules without wildcards lie in a hash table: open addressing, at
 * most half full, rebuilt at every change. The others are a list that is gone through from the front. Both are looked at
 * only while there is a rule.
 */
import { checkInt, NetmemError } from "@netmem/core";
import type { FlowRule, FlowRuleInfo, FlowSteering } from "@netmem/netdev";
import { FlowKey, FlowKind } from "./flow-key.ts";
import {
  compileRule,
  type FlowMatch,
  isSameMatch,
  MATCH_DST as MATCH_DST_,
  MATCH_PORTS as MATCH_PORTS_,
  MATCH_SRC as MATCH_SRC_,
  MATCH_TYPE as MATCH_TYPE_,
  MATCH_WORDS as MATCH_WORDS_,
  TYPE_HAS_PORTS,
  TYPE_IPV4,
  TYPE_IPV6,
} from "./flow-match.ts";

const TYPE = MATCH_TYPE_;
const PORTS = MATCH_PORTS_;
const SRC = MATCH_SRC_;
const DST = MATCH_DST_;
const WORDS = MATCH_WORDS_;
const HAS_PORTS = TYPE_HAS_PORTS;
const IPV4_TYPE = TYPE_IPV4;
const IPV6_TYPE = TYPE_IPV6;
const NONE = FlowKind.None;
const IPV4 = FlowKind.Ipv4;
const IPV4_PORTS = FlowKind.Ipv4Ports;
const IPV6_PORTS = FlowKind.Ipv6Ports;

/** Rules without wildcards, and with. */
export const MAX_EXACT_RULES = 1024;
export const MAX_WILDCARD_RULES = 64;
const SLOTS = 2 * MAX_EXACT_RULES;
const SLOT_MASK = SLOTS - 1;
const PLACES = MAX_EXACT_RULES + MAX_WILDCARD_RULES;

interface Rule extends FlowMatch {
  readonly id: number;
  readonly rule: FlowRule;
  /** Where its words and counters are. */
  readonly place: number;
}

/** The flow steering of a NIC. */
export class FlowTable implements FlowSteering {
  // "declare": see docs/decisions/0007. Hot fields first.
  /** Rules in force. */
  declare ruleCount: number;
  declare private exactCount: number;
  declare private wildcardCount: number;
  declare private readonly key: FlowKey;
  /** The packet at hand. */
  declare private readonly words: Int32Array;
  /** Place of a rule + 1, 0 for none. */
  declare private readonly slots: Int32Array;
  /** Places of rules with wildcards, in order. */
  declare private readonly wildcards: Int32Array;
  /** By place. */
  declare private readonly values: Int32Array;
  declare private readonly masks: Int32Array;
  declare private readonly queues: Int32Array;
  declare private readonly packets: Float64Array;
  declare private readonly bytes: Float64Array;
  declare private readonly rules: Rule[];
  declare private readonly queueCount: number;
  declare private readonly onChange: (ruleCount: number) => void;
  declare private nextId: number;

  /** `onChange` is told how many rules are in force: while there is none, nobody needs to ask. */
  constructor(queueCount: number, onChange: (ruleCount: number) => void = () => {}) {
    this.ruleCount = 0;
    this.exactCount = 0;
    this.wildcardCount = 0;
    this.key = new FlowKey();
    this.words = new Int32Array(WORDS);
    this.slots = new Int32Array(SLOTS);
    this.wildcards = new Int32Array(MAX_WILDCARD_RULES);
    this.values = new Int32Array(PLACES * WORDS);
    this.masks = new Int32Array(PLACES * WORDS);
    this.queues = new Int32Array(PLACES);
    this.packets = new Float64Array(PLACES);
    this.bytes = new Float64Array(PLACES);
    this.rules = [];
    this.queueCount = queueCount;
    this.onChange = onChange;
    this.nextId = 1;
  }

  /** Queue of the frame of `lenBytes` bytes at `at` by the rule that matches it, counted; `queueIdx` when none does. */
  steer(bytes: Uint8Array, at: number, lenBytes: number, queueIdx: number): number {
    const kind = this.key.parse(bytes, at, lenBytes);
    if (kind === NONE) return queueIdx;
    this.readWords(kind, bytes);
    let place = this.exactCount === 0 ? -1 : this.findExact();
    if (place < 0) place = this.findWildcard();
    if (place < 0) return queueIdx;
    this.packets[place] = this.packets[place]! + 1;
    this.bytes[place] = this.bytes[place]! + lenBytes;
    return this.queues[place]!;
  }

  /** Control path. See {@link FlowSteering.addFlowRule}. */
  addFlowRule(rule: FlowRule): number {
    checkInt("queueIdx", rule.queueIdx, 0, this.queueCount - 1);
    const match = compileRule(rule);
    const same = this.rules.find((one) => isSameMatch(one, match));
    if (same !== undefined) failExists(same.id);
    if (
      (match.isExact ? this.exactCount : this.wildcardCount) === (match.isExact ? MAX_EXACT_RULES : MAX_WILDCARD_RULES)
    )
      failFull(match.isExact);
    const place = this.freePlace();
    this.values.set(match.values, place * WORDS);
    this.masks.set(match.masks, place * WORDS);
    this.queues[place] = rule.queueIdx;
    this.packets[place] = 0;
    this.bytes[place] = 0;
    this.rules.push({ ...match, id: this.nextId, rule: { ...rule }, place });
    this.rebuild();
    return this.nextId++;
  }

  /** Control path. See {@link FlowSteering.removeFlowRule}. */
  removeFlowRule(id: number): void {
    const n = this.rules.findIndex((rule) => rule.id === id);
    if (n < 0) failUnknown(id);
    this.rules.splice(n, 1);
    this.rebuild();
  }

  /** Control path. See {@link FlowSteering.flowRules}. */
  flowRules(): FlowRuleInfo[] {
    return this.rules.map(({ id, rule, place }) => ({
      id,
      rule,
      packets: this.packets[place]!,
      bytes: this.bytes[place]!,
    }));
  }

  private readWords(kind: number, bytes: Uint8Array): void {
    const { words, key } = this;
    const { addrAt } = key;
    const hasPorts = kind === IPV4_PORTS || kind === IPV6_PORTS;
    const isIpv4 = kind === IPV4_PORTS || kind === IPV4;
    words[TYPE] = (isIpv4 ? IPV4_TYPE : IPV6_TYPE) | (hasPorts ? HAS_PORTS | key.proto : 0);
    words[PORTS] = hasPorts ? wordAt(bytes, key.portsAt) : 0;
    const last = isIpv4 ? 1 : 4;
    for (let n = 0; n < 4; n++) {
      words[SRC + n] = n < last ? wordAt(bytes, addrAt + 4 * n) : 0;
      words[DST + n] = n < last ? wordAt(bytes, addrAt + 4 * (last + n)) : 0;
    }
  }

  private findExact(): number {
    const { slots, words, values } = this;
    for (let slot = hashWords(words, 0) & SLOT_MASK; ; slot = (slot + 1) & SLOT_MASK) {
      const place = slots[slot]! - 1;
      if (place < 0) return -1;
      const at = place * WORDS;
      let n = 0;
      while (n < WORDS && words[n] === values[at + n]) n++;
      if (n === WORDS) return place;
    }
  }

  private findWildcard(): number {
    const { wildcards, wildcardCount, words, values, masks } = this;
    for (let k = 0; k < wildcardCount; k++) {
      const at = wildcards[k]! * WORDS;
      let n = 0;
      while (n < WORDS && (words[n]! & masks[at + n]!) === values[at + n]) n++;
      if (n === WORDS) return wildcards[k]!;
    }
    return -1;
  }

  /** Control path. */
  private freePlace(): number {
    const taken = new Set(this.rules.map(({ place }) => place));
    let place = 0;
    while (taken.has(place)) place++;
    return place;
  }

  /** Control path: makes the table and the list anew. */
  private rebuild(): void {
    const { slots, values } = this;
    slots.fill(0);
    this.ruleCount = this.rules.length;
    this.exactCount = 0;
    this.wildcardCount = 0;
    for (const { isExact, place } of this.rules) {
      if (!isExact) {
        this.wildcards[this.wildcardCount++] = place;
        continue;
      }
      let slot = hashWords(values, place * WORDS) & SLOT_MASK;
      while (slots[slot] !== 0) slot = (slot + 1) & SLOT_MASK;
      slots[slot] = place + 1;
      this.exactCount++;
    }
    this.onChange(this.ruleCount);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Products by different odd numbers, so that they do not wait for each other. */
function hashWords(words: Int32Array, at: number): number {
  const sum =
    Math.imul(words[at]! ^ words[at + 1]!, 0x9e3779b1) ^
    Math.imul(words[at + 2]!, 0x85ebca6b) ^
    Math.imul(words[at + 6]!, 0x27d4eb2f) ^
    Math.imul(words[at + 3]! ^ words[at + 7]!, 0x165667b1) ^
    Math.imul(words[at + 4]! ^ words[at + 8]!, 0x2c1b3c6d) ^
    Math.imul(words[at + 5]!, 0x297a2d39) ^
    Math.imul(words[at + 9]!, 0x1b56c4e9);
  const mixed = Math.imul(sum ^ (sum >>> 15), 0x2545f491);
  return mixed ^ (mixed >>> 16);
}

function failExists(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FLOW_EXISTS",
    errno: "EEXIST",
    reason: `flow rule ${id} matches the same packets`,
    remedy: "Remove that rule first.",
    param: "rule",
    value: id,
  });
}

function failFull(isExact: boolean): never {
  const value = isExact ? MAX_EXACT_RULES : MAX_WILDCARD_RULES;
  throw new NetmemError({
    code: "ERR_NETMEM_FLOW_TABLE_FULL",
    errno: "ENOSPC",
    reason: `there are ${value} rules ${isExact ? "without" : "with"} wildcards already`,
    remedy: "Remove some, or match more packets by one rule.",
    param: "rule",
    value,
  });
}

function failUnknown(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_FLOW_UNKNOWN",
    errno: "ENOENT",
    reason: `there is no flow rule ${id}`,
    remedy: "Remove a rule once, by the id that it was added under.",
    param: "id",
    value: id,
  });
}

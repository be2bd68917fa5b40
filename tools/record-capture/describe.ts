// Prints what is in a capture of tcpdump's, counted from the file, as the tables of examples/mixed-nic/capture/README.md.
import { readFileSync } from "node:fs";

const PCAP_MAGIC_NS_LE = 0x4d3cb2a1;
const SIZE_STEPS = [59, 60, 127, 255, 511, 1023, 1513, 1514, 8999, 9014];
const IPV6_FRAGMENT = 44;

interface Tally {
  packets: number;
  bytes: number;
}

class Description {
  readonly protocols = new Map<string, Tally>();
  readonly sizes = new Map<string, Tally>();
  readonly flows = new Map<string, Set<string>>();
  readonly total: Tally = { packets: 0, bytes: 0 };
  cutCount = 0;
  smallest = Infinity;
  largest = 0;
  firstSec = 0;
  lastSec = 0;

  add(frame: Buffer, originalBytes: number, sec: number): void {
    if (this.total.packets === 0) this.firstSec = sec;
    this.lastSec = sec;
    if (frame.length < originalBytes) this.cutCount++;
    this.smallest = Math.min(this.smallest, frame.length);
    this.largest = Math.max(this.largest, frame.length);
    count(this.total, frame.length);
    count(tallyOf(this.protocols, this.#protocolOf(frame)), frame.length);
    count(tallyOf(this.sizes, sizeName(frame.length)), frame.length);
  }

  #protocolOf(frame: Buffer): string {
    const etherType = frame.readUInt16BE(12);
    if (etherType === 0x0806) return "ARP";
    if (etherType === 0x0800) return this.#ipv4(frame.subarray(14));
    if (etherType === 0x86dd) return this.#ipv6(frame.subarray(14));
    return `ether type ${etherType.toString(16)}`;
  }

  #ipv4(ip: Buffer): string {
    if ((ip.readUInt16BE(6) & 0x3fff) !== 0) return "IPv4 fragments";
    const headerBytes = (ip.readUInt8(0) & 15) * 4;
    return this.#transport("IPv4", ip.readUInt8(9), ip.subarray(12, 20), ip.subarray(headerBytes));
  }

  #ipv6(ip: Buffer): string {
    const next = ip.readUInt8(6);
    if (next === IPV6_FRAGMENT) return "IPv6 fragments";
    return this.#transport("IPv6", next, ip.subarray(8, 40), ip.subarray(40));
  }

  #transport(version: string, protocol: number, addresses: Buffer, segment: Buffer): string {
    const name = `${version} ${{ 1: "ICMP", 58: "ICMPv6", 6: "TCP", 17: "UDP", 0: "ICMPv6 (MLD)" }[protocol] ?? protocol}`;
    if (protocol === 6 || protocol === 17) {
      const tuples = this.flows.get(name) ?? new Set();
      this.flows.set(name, tuples.add(`${addresses.toString("hex")} ${segment.toString("hex", 0, 4)}`));
    }
    return name;
  }
}

function count(tally: Tally, bytes: number): void {
  tally.packets++;
  tally.bytes += bytes;
}

function tallyOf(map: Map<string, Tally>, name: string): Tally {
  const tally = map.get(name) ?? { packets: 0, bytes: 0 };
  map.set(name, tally);
  return tally;
}

function sizeName(lenBytes: number): string {
  const idx = SIZE_STEPS.findIndex((step) => lenBytes <= step);
  const least = (SIZE_STEPS[idx - 1] ?? 0) + 1;
  const most = SIZE_STEPS[idx] ?? Infinity;
  return least === most ? `${least}` : `${least}-${most}`;
}

function describe(file: Buffer): Description {
  if (file.readUInt32BE(0) !== PCAP_MAGIC_NS_LE) throw new Error("not what tcpdump writes with nanosecond timestamps");
  const description = new Description();
  for (let at = 24; at < file.length;) {
    const capturedBytes = file.readUInt32LE(at + 8);
    const frame = file.subarray(at + 16, at + 16 + capturedBytes);
    description.add(frame, file.readUInt32LE(at + 12), file.readUInt32LE(at));
    at += 16 + capturedBytes;
  }
  return description;
}

function printTable(title: string, map: Map<string, Tally>, first: (name: string) => number | string): void {
  const rows = [...map].sort(([a], [b]) => (first(a) < first(b) ? -1 : 1));
  console.log(`\n| ${title} | packets | bytes |\n|---|---:|---:|`);
  for (const [name, { packets, bytes }] of rows) console.log(`| ${name} | ${packets} | ${bytes} |`);
}

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: node describe.ts CAPTURE");
const file = readFileSync(path);
const { total, protocols, sizes, flows, smallest, largest, cutCount, firstSec, lastSec } = describe(file);
const tuples = [...flows].map(([name, set]) => `${name} ${set.size}`).sort();
console.log(`${path}: ${file.length} bytes, ${total.packets} packets, ${total.bytes} packet bytes`);
console.log(`recorded ${new Date(firstSec * 1000).toISOString()}, ${lastSec - firstSec} s`);
console.log(`frames of ${smallest} to ${largest} bytes, ${cutCount} cut by the recorder`);
console.log(`one-way flows (addresses and ports): ${tuples.join(", ")}`);
printTable("protocol", protocols, (name) => name);
printTable("frame size", sizes, (name) => Number.parseInt(name, 10));

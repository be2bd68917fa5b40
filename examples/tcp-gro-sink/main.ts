import { fileURLToPath } from "node:url";
import { Stand } from "./stand.ts";

const file = process.argv[2] ?? fileURLToPath(new URL("../mixed-nic/capture/mixed.pcap", import.meta.url));
const stand = new Stand();
await stand.replay(file);
const { sink, sent, driver, skbs } = stand;
const wrong = sink.log.differencesTo(sent);
const merged = sink.arrived - sink.delivered;
console.log(`packets: ${sink.arrived} from the wire, ${sink.delivered} to the reader (${merged} merged into others)`);
console.log(`largest: ${sink.maxSegments} segments, ${sink.maxBytes} bytes`);
console.log(`TCP payload read in place: ${sink.log.bytes} bytes of ${sink.log.flowCount} flows, ${wrong.length} wrong`);
console.log(`left behind: ${skbs.liveCount} skbs, ${driver.inflight()} pages`);
const isRight = wrong.length === 0 && merged > 0 && skbs.liveCount === 0 && driver.inflight() === 0;
process.exitCode = isRight ? 0 : 1;

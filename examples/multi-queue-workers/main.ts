import { WorkerGroup } from "@netmem/netdev/workers";
import { SimNic } from "@netmem/sim-nic";
import { createHost } from "netmem";
import { fileURLToPath } from "node:url";
import { Replay } from "./replay.ts";
import type { WorkerData, WorkerResult } from "./worker.ts";

const DEFAULT_QUEUES = 2;
const MAX_QUEUES = 8;
const LOOPS = 3;
const pcap = fileURLToPath(new URL("../mixed-nic/capture/mixed.pcap", import.meta.url));
const module = new URL("./worker.ts", import.meta.url);

const queues = Number(process.argv[2] ?? DEFAULT_QUEUES);
if (!(Number.isInteger(queues) && queues >= 2 && queues <= MAX_QUEUES)) {
  console.error(`usage: node main.ts [queues]: 2 to ${MAX_QUEUES}, not ${process.argv[2]}`);
  process.exit(2);
}

const host = createHost({ arenaBytes: 64 * 2 ** 20 });
const nic = new SimNic(host, { queueCount: queues, rxDescCount: 512, txDescCount: 512 });
const names = Array.from({ length: queues }, (_, n) => `queue ${n}`);
const nextOf = (n: number): string => names[(n + 1) % queues]!;
const group = new WorkerGroup({
  host,
  workers: names.map((name, n) => {
    const data: WorkerData = { next: nextOf(n) };
    return { name, module, hardware: nic.shareQueue(n), queueIdx: n, data };
  }),
  links: names.map((from, n) => ({ from, to: nextOf(n) })),
});

const replay = new Replay(nic, pcap);
await group.start();
const from = performance.now();
for (let loop = 0; loop < LOOPS; loop++) await replay.run();
const ms = performance.now() - from;
const results = (await group.stopAll()) as Map<string, WorkerResult>;
const stats = names.map((name) => group.getStats(name));
await group.close();
nic.dispose();

const cells = (...row: unknown[]): string => row.map((cell) => String(cell).padStart(12)).join("");
console.log(cells("queue", "worker", "received", "bytes", "forwarded", "sent", "came home"));
for (const [n, name] of names.entries()) {
  const { rxPackets, rxBytes, xdpRedirect, txPackets } = stats[n]!;
  const { workerId, delivered } = results.get(name)!;
  console.log(cells(n, workerId, rxPackets, rxBytes, `${xdpRedirect} to ${(n + 1) % queues}`, txPackets, delivered));
}
const inFlight = host.pools.list().length;
console.log(`${replay.taken} packets in ${ms.toFixed(0)} ms, ${replay.skipped * LOOPS} that no NIC takes`);
console.log(`verified: ${replay.right} right, ${replay.wrong} wrong, ${replay.onTheWay} lost`);
console.log(`pools with buffers in flight: ${inFlight}, workers left: ${host.workers.list().length - 1}`);
process.exitCode = replay.right === replay.taken && replay.taken > 0 && inFlight === 0 ? 0 : 1;

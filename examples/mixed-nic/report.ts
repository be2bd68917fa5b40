import type { QueueDriverStats } from "@netmem/netdev";
import type { MixedNic } from "./mixed-nic.ts";
import type { Replay } from "./replay.ts";

/** What one queue did. */
export interface QueueReport {
  readonly name: string;
  readonly composition: string;
  readonly packets: number;
  readonly bytes: number;
  /** From the driver's poll to the end of the skb. */
  readonly nsPerPacket: number;
  readonly alloc: QueueDriverStats["alloc"];
  readonly recycle: QueueDriverStats["recycle"];
  /** Buffers not home after the queue stopped. */
  readonly inFlight: number;
  /** The queue's address translations, received and sent; null without an IOMMU. */
  readonly iotlb: { readonly hits: number; readonly misses: number } | null;
}

/** What `--json` prints. */
export interface Report {
  readonly queues: readonly QueueReport[];
  /** Packets of the file, once through. */
  readonly capture: { readonly packets: number };
  readonly verified: { readonly packets: number; readonly crcErrors: number };
  /** All queues together; the rate includes the NIC model. */
  readonly total: { readonly packets: number; readonly mpps: number };
}

/** Counts after the device was closed. */
export function makeReport(mixed: MixedNic, replay: Replay): Report {
  const stats = mixed.device.getStats();
  const busyMs = mixed.drivers.map((driver, n) => driver.pollMs + replay.verifier.consumeMs(n));
  const queues = mixed.drivers.map((driver, n): QueueReport => {
    const { rxPackets = 0, rxBytes = 0 } = stats[n] ?? {};
    const iotlb = mixed.iotlbs[n];
    return {
      name: `${mixed.device.name}-rx-${n}`,
      composition: driver.composition,
      packets: rxPackets,
      bytes: rxBytes,
      nsPerPacket: rounded(rxPackets === 0 ? 0 : ((busyMs[n] ?? 0) * 1e6) / rxPackets, 1),
      ...driver.getStats(),
      inFlight: driver.inflight(),
      iotlb: iotlb === undefined ? null : { hits: iotlb.hits, misses: iotlb.misses },
    };
  });
  const packets = queues.reduce((sum, queue) => sum + queue.packets, 0);
  const totalMs = busyMs.reduce((sum, ms) => sum + ms, replay.nicMs);
  return {
    queues,
    capture: { packets: replay.capturePackets },
    verified: { packets: replay.verifier.packets, crcErrors: replay.verifier.crcErrors },
    total: { packets, mpps: rounded(totalMs === 0 ? 0 : packets / totalMs / 1000, 3) },
  };
}

/** The report as a table for people. */
export function formatTable(report: Report): string {
  const head = [
    "queue",
    "composition",
    "packets",
    "bytes",
    "ns/packet",
    "fast/refill/slow %",
    "cached/ring/released %",
    "IOTLB misses/packet",
    "in flight",
  ];
  const rows = report.queues.map((queue) => [
    queue.name,
    queue.composition,
    String(queue.packets),
    String(queue.bytes),
    queue.nsPerPacket.toFixed(1),
    shares([queue.alloc.fast, queue.alloc.refill, queue.alloc.slow]),
    shares([queue.recycle.cached, queue.recycle.ring, queue.recycle.released]),
    missesPerPacket(queue),
    String(queue.inFlight),
  ]);
  const { capture, verified, total } = report;
  return [
    ...alignColumns([head, ...rows]),
    "",
    `${capture.packets} packets in the capture, ${total.packets} received, ${verified.packets} verified, ` +
      `${verified.crcErrors} wrong, ${total.mpps.toFixed(3)} Mpps with the NIC model`,
    "",
  ].join("\n");
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join("  "),
  );
}

function shares(counts: readonly number[]): string {
  const sum = counts.reduce((total, count) => total + count, 0);
  return counts.map((count) => (sum === 0 ? "-" : ((100 * count) / sum).toFixed(1))).join("/");
}

/** One translation per buffer that the NIC fetched; a packet may take several. */
function missesPerPacket({ iotlb, packets }: QueueReport): string {
  return iotlb === null || packets === 0 ? "-" : (iotlb.misses / packets).toFixed(3);
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

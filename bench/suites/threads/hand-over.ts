/** Packets from the NIC on this thread to a queue's worker, and on to another one: millions of packets a second. */

import { WorkerGroup, type WorkerParams } from "@netmem/netdev/workers";
import { SimNic } from "@netmem/sim-nic";
import { buildPacket, ipv4Address, macAddress } from "@netmem/testing";
import { createHost } from "netmem";
import type { SampleOptions, ScriptRow } from "../../suite.ts";
import { Idle } from "../ring/idle.ts";
import type { QueueRole } from "./queue-module.ts";

const BURST = 64;
const FRAME_BYTES = 64;
const WARM_UP_SAMPLES = 5;
const module = new URL("queue-module.ts", import.meta.url);

/** A NIC whose only queue has a worker. */
class Rig {
  readonly host = createHost({ arenaBytes: 64 * 2 ** 20 });
  readonly nic = new SimNic(this.host, { queueCount: 1, rxDescCount: 1024 });
  readonly group: WorkerGroup;
  private readonly idle: Idle;
  private readonly bytes = new Uint8Array(BURST * FRAME_BYTES);
  private readonly offsets = Int32Array.from({ length: BURST }, (_, n) => n * FRAME_BYTES);
  private readonly lengths = new Int32Array(BURST).fill(FRAME_BYTES);
  private sent = 0;

  constructor(role: QueueRole) {
    const { host } = this;
    const rx: WorkerParams = { name: "rx", module, hardware: this.nic.shareQueue(0), data: role };
    const sink: WorkerParams = { name: "sink", module, data: "sink" satisfies QueueRole };
    const isForward = role === "forward";
    const links = isForward ? [{ from: "rx", to: "sink" }] : [];
    this.group = new WorkerGroup({ host, workers: isForward ? [rx, sink] : [rx], links });
    this.idle = new Idle(host.i32, host.heap.allocWords(16));
    for (let n = 0; n < BURST; n++) this.writeFrame(n);
  }

  /** Sends bursts, none of which is dropped, and waits until the last packet was polled. */
  run(bursts: number): void {
    const { nic, group, idle } = this;
    const { rx } = nic.queue(0);
    for (let burst = 0; burst < bursts;) {
      const room = (rx.producer - rx.completed) | 0;
      if (room < BURST) {
        nic.service();
        idle.after(0);
        continue;
      }
      this.sent += nic.receiveBurst(this.bytes, this.offsets, this.lengths, BURST);
      idle.after(1);
      burst++;
    }
    while (group.getStats("rx").rxPackets !== this.sent) {
      nic.service();
      idle.after(0);
    }
  }

  private writeFrame(n: number): void {
    buildPacket(this.bytes, n * FRAME_BYTES, {
      ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
      network: { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") },
      transport: { kind: "udp", srcPort: 1024 + n, dstPort: 9 },
      frameBytes: FRAME_BYTES,
    });
  }
}

async function sampleRates(role: QueueRole, { samples, minMs }: SampleOptions): Promise<number[]> {
  const rig = new Rig(role);
  await rig.group.start();
  try {
    let bursts = 64;
    const timeMs = (): number => {
      const from = performance.now();
      rig.run(bursts);
      return performance.now() - from;
    };
    for (let warm = 0; warm < WARM_UP_SAMPLES;) {
      if (timeMs() < minMs) bursts *= 2;
      else warm++;
    }
    return Array.from({ length: samples }, () => (bursts * BURST) / timeMs() / 1000);
  } finally {
    await rig.group.close();
  }
}

function rateRow(name: string, role: QueueRole): ScriptRow {
  return { kind: "script", name, unit: "Mpps", measure: (options) => sampleRates(role, options) };
}

export const handOverRows: readonly ScriptRow[] = [
  rateRow("rx_worker_drop_64B", "drop"),
  rateRow("rx_worker_skb_consume_64B", "consume"),
  rateRow("rx_worker_forward_skb_consume_64B", "forward"),
];

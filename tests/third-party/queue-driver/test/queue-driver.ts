import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { WorkerGroup } from "@netmem/netdev/workers";
import { SimNic } from "@netmem/sim-nic";
import { createHost } from "netmem";

const PACKETS = 1000;
const XDP_DROP = 1;
const XDP_TX = 3;

void test("a queue driven by a worker: drops, sends back, dies, goes on, stops with everything home", async () => {
  const host = createHost({ arenaBytes: 16 * 2 ** 20 });
  const nic = new SimNic(host, { queueCount: 1 });
  const module = new URL("../src/index.js", import.meta.url);
  const group = new WorkerGroup({ host, workers: [{ name: "rx", module, hardware: nic.shareQueue(0) }] });
  await group.start();
  const send = async (verdict: number): Promise<void> => {
    const frame = new Uint8Array(60).fill(verdict);
    for (let taken = 0; taken < PACKETS;) {
      nic.service();
      if (nic.receive(frame, 0, frame.length)) taken++;
      else await setTimeout(1);
    }
    const { rxPackets } = nic.getStats();
    while (group.getStats("rx").rxPackets < rxPackets) await pass();
  };
  const pass = async (): Promise<void> => {
    nic.service();
    await setTimeout(1);
  };
  await send(XDP_DROP);
  await send(XDP_TX);
  while (nic.getStats().txPackets < PACKETS) await pass();
  await group.terminate("rx");
  const [death] = group.deaths;
  // Those that were posted, and what had been sent and not been cleaned up.
  assert.ok(death !== undefined && death.taken >= 256 && death.taken <= 512, `${death?.taken} buffers taken back`);
  await send(XDP_DROP);
  const { xdpDrop, txPackets } = group.getStats("rx");
  assert.deepEqual([xdpDrop, txPackets], [2 * PACKETS, PACKETS]);
  assert.equal(await group.stop("rx"), `${3 * PACKETS} packets`);
  await group.close();
  // The pool of the one that died may have waited for its last buffer until now.
  while (host.pools.list().length > 0) await setTimeout(1);
  assert.equal(host.workers.list().length, 1);
});

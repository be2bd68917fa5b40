import { check, checkEqual, type SuiteCase } from "@netmem/testing";
import { UmemFlag } from "../abi.ts";
import type { LinkOptions, XskTestbed } from "./testbed.ts";
import { exchange, Receiver, runTraffic, Sender, type TrafficSpec } from "./traffic.ts";
import { withLink } from "./with-link.ts";

const UNALIGNED: LinkOptions = { flags: UmemFlag.UnalignedChunk };
const is9k = (): number => 9000;

/** Traffic from a to b that must arrive as it was sent. */
function sends(options: LinkOptions = {}, spec: TrafficSpec = {}): (bed: XskTestbed) => Promise<void> {
  return (bed) => withLink(bed, options, async (link) => void (await runTraffic(link, spec)));
}

async function bidirectional(bed: XskTestbed): Promise<void> {
  await withLink(bed, { ringSize: 512 }, async (link) => {
    for (const isReversed of [false, true]) await runTraffic(link, { packets: 2048 }, isReversed);
    for (const isReversed of [true, false]) await runTraffic(link, { packets: 100 }, isReversed);
  });
}

async function pollRx(bed: XskTestbed): Promise<void> {
  await withLink(bed, {}, async (link) => {
    checkEqual(link.b.poll().readable, false, "readable before anything was sent");
    const sender = new Sender(link, link.a, { packets: 64 });
    const receiver = new Receiver(link, link.b, {});
    receiver.fill();
    sender.step();
    await link.pump();
    checkEqual(link.b.poll().readable, true, "readable with packets there");
    receiver.step();
    checkEqual(receiver.seqs.length, 64, "packets");
  });
}

async function pollTx(bed: XskTestbed): Promise<void> {
  await withLink(bed, { ringSize: 64 }, async (link) => {
    checkEqual(link.a.poll().writable, true, "writable while the ring is empty");
    await runTraffic(link, { packets: 256, batch: 16 });
    checkEqual(link.a.poll().writable, true, "writable after everything was sent");
  });
}

async function pollRxqFull(bed: XskTestbed): Promise<void> {
  await withLink(bed, {}, async (link) => {
    new Receiver(link, link.b, {}).fill();
    await link.pump();
    checkEqual(link.b.poll().readable, false, "readable although nothing arrives");
  });
}

async function pollTxqFull(bed: XskTestbed): Promise<void> {
  await withLink(bed, { ringSize: 64 }, async (link) => {
    // Nobody takes completions: the kernel cannot complete, and stops.
    const { a } = link;
    const sender = new Sender(link, a, { packets: 256 });
    const complete = a.rings.complete.bind(a.rings);
    a.rings.complete = () => 0;
    for (let n = 0; n < 4; n++) {
      sender.step();
      await link.pump();
    }
    checkEqual(a.poll().writable, false, "writable with a full ring");
    a.rings.complete = complete;
  });
}

async function statRxFull(bed: XskTestbed): Promise<void> {
  await withLink(bed, { ringSize: 256 }, async (link) => {
    const sender = new Sender(link, link.a, { packets: 384 });
    const receiver = new Receiver(link, link.b, {});
    for (let n = 0; n < 12; n++) {
      receiver.fill();
      sender.step();
      await link.pump();
    }
    check(link.b.statistics().rxRingFull > 0, "rx_ring_full is 0");
    receiver.step();
    checkEqual(
      receiver.seqs.slice(0, 256),
      Array.from({ length: 256 }, (_, seq) => seq),
      "first packets",
    );
  });
}

async function statFillEmpty(bed: XskTestbed): Promise<void> {
  await withLink(bed, {}, async (link) => {
    const spec = { packets: 512, starve: true };
    const sender = new Sender(link, link.a, spec);
    const receiver = new Receiver(link, link.b, spec);
    receiver.fill(256);
    await exchange(link, sender, [receiver]);
    check(link.b.statistics().rxFillRingEmptyDescs > 0, "rx_fill_ring_empty_descs is 0");
    checkEqual(receiver.seqs.length, 256, "packets received");
  });
}

async function statRxDropped(bed: XskTestbed): Promise<void> {
  await withLink(bed, { headroomBytes: 3000, hasSg: false }, async (link) => {
    const spec: TrafficSpec = {
      packets: 512,
      lengthOf: (seq) => (seq % 2 === 0 ? 64 : 2000),
      arrives: (seq) => seq % 2 === 0,
    };
    await runTraffic(link, spec);
    const { rxDropped } = link.b.statistics();
    check(Math.abs(rxDropped - 256) <= 1, `rx_dropped is ${rxDropped}, not 256`);
  });
}

async function umemHeadroom(bed: XskTestbed): Promise<void> {
  await withLink(bed, { headroomBytes: 128 }, async (link) => {
    const base = link.b.rings.umem.offset;
    const onPacket = (seq: number, data: number): void =>
      checkEqual((data - base) % 4096, 256 + 128, `place of packet ${seq}`);
    await runTraffic(link, { packets: 512, onPacket });
  });
}

async function txQueueConsumer(bed: XskTestbed): Promise<void> {
  await withLink(bed, {}, (link) => {
    const sender = new Sender(link, link.a, { packets: 33, batch: 33 });
    sender.step();
    checkEqual(sender.sent, 33, "packets in the ring");
    const { tx } = link.a.layouts;
    const before = link.host.i32[tx!.consumerAt]!;
    link.a.sendto();
    checkEqual(link.host.i32[tx!.consumerAt]! - before, 32, "descriptors consumed by one sendto");
  });
}

async function teardown(bed: XskTestbed): Promise<void> {
  for (let round = 0; round < 10; round++) await sends({}, { packets: 256 })(bed);
}

/** The kernel's self-tests that need nothing but two ports. Constants are the kernel's: 4096 packets of 64 bytes, 1024 frames. */
export const trafficCases: readonly SuiteCase<XskTestbed>[] = [
  { name: "SEND_RECEIVE", run: sends() },
  { name: "SEND_RECEIVE_2K_FRAME", run: sends({ chunkSizeBytes: 2048 }) },
  { name: "SEND_RECEIVE_SINGLE_PKT", run: sends({}, { packets: 1 }) },
  { name: "POLL_RX", run: pollRx },
  { name: "POLL_TX", run: pollTx },
  { name: "POLL_RXQ_FULL", run: pollRxqFull },
  { name: "POLL_TXQ_FULL", run: pollTxqFull },
  { name: "UMEM_HEADROOM", run: umemHeadroom },
  { name: "BIDIRECTIONAL", run: bidirectional },
  { name: "STAT_RX_FULL", run: statRxFull },
  { name: "STAT_FILL_EMPTY", run: statFillEmpty },
  { name: "SEND_RECEIVE_9K_PACKETS", run: sends({ hasSg: true }, { packets: 1024, lengthOf: is9k }) },
  { name: "SEND_RECEIVE_UNALIGNED", run: sends({ ...UNALIGNED, chunkSizeBytes: 3000 }) },
  {
    name: "SEND_RECEIVE_UNALIGNED_9K_PACKETS",
    run: sends({ ...UNALIGNED, chunkSizeBytes: 3000, hasSg: true }, { packets: 1024, lengthOf: is9k }),
  },
  { name: "HW_SW_MIN_RING_SIZE", run: sends({ ringSize: 2, batch: 1 }, { packets: 256, batch: 1 }) },
  { name: "HW_SW_MAX_RING_SIZE", run: sends({ ringSize: 8192, batch: 1024 }, { batch: 1023 }) },
  { name: "TEARDOWN", run: teardown },
];

/** About copy mode only. */
export const copyCases: readonly SuiteCase<XskTestbed>[] = [
  { name: "STAT_RX_DROPPED", run: statRxDropped },
  { name: "TX_QUEUE_CONSUMER", run: txQueueConsumer },
];

import { check, checkEqual, type SuiteCase } from "@netmem/testing";
import type { LinkOptions, TestProgram, XskTestbed } from "./testbed.ts";
import { runTraffic, type TrafficSpec } from "./traffic.ts";
import { withLink } from "./with-link.ts";

const SEQ_AT = 14;

function withProgram(
  options: LinkOptions,
  makeProgram: () => TestProgram,
  spec: TrafficSpec,
): (bed: XskTestbed) => Promise<void> {
  return (bed) =>
    withLink(bed, options, async (link) => {
      link.setProgram(makeProgram());
      await runTraffic(link, spec);
    });
}

/** Each packet's end moves; a program that cannot do it drops, and the traffic fails. */
function adjustTail(options: LinkOptions, lenBytes: number, delta: number): (bed: XskTestbed) => Promise<void> {
  return withProgram(options, () => (packet) => (packet.adjustTail(delta) ? 0 : -1), {
    packets: 256,
    lengthOf: () => lenBytes,
    arrivesWith: () => lenBytes + delta,
  });
}

function metadata(options: LinkOptions, lenBytes: number): (bed: XskTestbed) => Promise<void> {
  return (bed) =>
    withLink(bed, options, async (link) => {
      let count = 0;
      link.setProgram((packet) => {
        packet.setMetadata(0x1234_0000 + count++);
        return 0;
      });
      const onPacket = (seq: number, data: number): void =>
        checkEqual(link.host.i32[(data - 4) >> 2], 0x1234_0000 + seq, `metadata of packet ${seq}`);
      await runTraffic(link, { packets: 256, lengthOf: () => lenBytes, onPacket });
    });
}

async function progCleanup(bed: XskTestbed): Promise<void> {
  await withLink(bed, { extraSockets: 1 }, async (link) => {
    let target = 0;
    link.setProgram(() => target);
    await runTraffic(link, { packets: 512 });
    target = 1;
    await runTraffic(link, { packets: 512, socketOf: () => 1 });
    link.setProgram(null);
    await runTraffic(link, { packets: 64 });
  });
}

function sharedUmem(): (bed: XskTestbed) => Promise<void> {
  return withProgram({ extraSockets: 1 }, () => (packet) => packet.byteAt(SEQ_AT) & 1, { socketOf: (seq) => seq & 1 });
}

function dropHalf(): (bed: XskTestbed) => Promise<void> {
  const program: TestProgram = (packet) => {
    check(packet.lenBytes === 64, "length that the program sees");
    return (packet.byteAt(SEQ_AT) & 1) === 0 ? 0 : -1;
  };
  return withProgram({}, () => program, { arrives: (seq) => seq % 2 === 0 });
}

/** Self-tests with an XDP program between the ports. */
export const programCases: readonly SuiteCase<XskTestbed>[] = [
  { name: "XDP_PROG_CLEANUP", run: progCleanup },
  { name: "XDP_DROP_HALF", run: dropHalf() },
  { name: "XDP_SHARED_UMEM", run: sharedUmem() },
  { name: "XDP_METADATA_COPY", run: metadata({}, 64) },
  { name: "XDP_METADATA_COPY_MULTI_BUFF", run: metadata({ hasSg: true }, 9000) },
  { name: "XDP_ADJUST_TAIL_SHRINK", run: adjustTail({}, 128, -64) },
  { name: "XDP_ADJUST_TAIL_SHRINK_MULTI_BUFF", run: adjustTail({ hasSg: true }, 9000, -512) },
  { name: "XDP_ADJUST_TAIL_GROW", run: adjustTail({}, 64, 128) },
  { name: "XDP_ADJUST_TAIL_GROW_MULTI_BUFF", run: adjustTail({ hasSg: true }, 9000, 128) },
];

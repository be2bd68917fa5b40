import type { NetmemRef, ReadableRef } from "@netmem/core";
import { check, checkEqual, type SuiteCase } from "@netmem/testing";
import { DescOption, UmemFlag } from "../abi.ts";
import { DescProducer } from "../desc-ring.ts";
import type { LinkOptions, XskLink, XskTestbed } from "./testbed.ts";
import { Receiver, writePacket } from "./traffic.ts";
import { withLink } from "./with-link.ts";

const CONTD = DescOption.PktContd;
const PACKET_BYTES = 64;

/** A descriptor as a user could write it, past the checks of the user's end. */
interface RawDesc {
  /** UMEM offset; negative ones wrap. */
  readonly addr: number;
  readonly lenBytes: number;
  readonly options?: number;
}

interface RawPacket {
  readonly descs: readonly RawDesc[];
  readonly isValid: boolean;
}

/**
 * Sends raw packets and checks that the valid ones arrive, whole and in order. Nobody else sends from the UMEM meanwhile.
 */
async function sendRaw(link: XskLink, packets: readonly RawPacket[]): Promise<void> {
  const { host, a } = link;
  const tx = new DescProducer(host.i32, a.layouts.tx!);
  const lengths: number[] = [];
  const receiver = new Receiver(link, link.b, {});
  receiver.fill();
  for (const { descs, isValid } of packets) {
    for (const { addr, lenBytes, options = 0 } of descs) {
      check(tx.room(1) > 0, "no room for a raw descriptor");
      tx.put(addr | 0, Math.floor(addr / 2 ** 32) | 0, lenBytes, options);
    }
    if (isValid) lengths.push(descs.reduce((sum, { lenBytes }) => sum + lenBytes, 0));
  }
  tx.submit();
  checkEqual(await receivedLengths(link), lengths, "lengths of the packets that arrived");
}

async function receivedLengths(link: XskLink): Promise<number[]> {
  const { rings, frames } = link.b;
  const lengths: number[] = [];
  let current = 0;
  for (let idle = 0; idle < 8; idle++) {
    await link.pump();
    for (let n = rings.receive(64); n > 0; n = rings.receive(64)) {
      idle = 0;
      for (let k = 0; k < n; k++) {
        current += rings.lengths[k]!;
        if ((rings.options[k]! & CONTD) !== 0) continue;
        lengths.push(current);
        current = 0;
      }
      for (const ref of rings.refs.slice(0, n)) frames.put(ref as NetmemRef, -1, false);
    }
  }
  return lengths;
}

/** The table of `test_xsk.c`: which descriptor of a UMEM goes through. */
function invalidTable(umemBytes: number, chunkSizeBytes: number, isUnaligned: boolean): RawPacket[] {
  const one = (addr: number, isValid: boolean, lenBytes: number = PACKET_BYTES): RawPacket => ({
    descs: [{ addr, lenBytes }],
    isValid,
  });
  return [
    one(0, true),
    one(-2, false),
    one(4096, false, chunkSizeBytes + 1),
    one(umemBytes - PACKET_BYTES, true),
    one(umemBytes, false),
    one(umemBytes - PACKET_BYTES / 2, false),
    one(4096 - PACKET_BYTES / 2, isUnaligned),
    one(2048 - PACKET_BYTES / 2, isUnaligned || chunkSizeBytes !== 2048),
    one(4096, true),
  ];
}

function invalidDesc(options: LinkOptions): (bed: XskTestbed) => Promise<void> {
  return (bed) =>
    withLink(bed, options, async (link) => {
      const { bytes, chunkSizeBytes } = link.a.rings.umem;
      await sendRaw(link, invalidTable(bytes, chunkSizeBytes, (options.flags ?? 0) !== 0));
      const bad = invalidTable(bytes, chunkSizeBytes, (options.flags ?? 0) !== 0).filter(({ isValid }) => !isValid);
      checkEqual(link.a.statistics().txInvalidDescs, bad.length, "tx_invalid_descs");
    });
}

function invalidMultiBuff(options: LinkOptions): (bed: XskTestbed) => Promise<void> {
  return (bed) =>
    withLink(bed, { ...options, hasSg: true }, async (link) => {
      const { bytes, chunkSizeBytes: size } = link.a.rings.umem;
      const isUnaligned = (options.flags ?? 0) !== 0;
      const packet = (isValid: boolean, ...descs: RawDesc[]): RawPacket => ({
        isValid,
        descs: descs.map(({ addr, lenBytes, options: bits = 0 }, n) => ({
          addr,
          lenBytes,
          options: bits | (n === descs.length - 1 ? 0 : CONTD),
        })),
      });
      const part = (addr: number, lenBytes: number, bits = 0): RawDesc => ({ addr, lenBytes, options: bits });
      const neighbour = packet(true, part(0, 200));
      await sendRaw(link, [
        neighbour,
        packet(false, part(0, size), part(size, 0)),
        neighbour,
        packet(false, part(0, size), part(2 * bytes, size), part(size, 100)),
        neighbour,
        packet(false, part(0, size), part(size, size + 1), part(size, 100)),
        neighbour,
        packet(false, part(0, size), part(size, size, 16), part(size, 100)),
        neighbour,
        packet(true, part(0, size), part(size, size)),
        packet(isUnaligned, part(0, 100), part(size - 32, 64), part(size, 100)),
        neighbour,
      ]);
    });
}

async function tooManyFrags(bed: XskTestbed): Promise<void> {
  const max = bed.maxPacketDescs;
  await withLink(bed, { hasSg: true }, async (link) => {
    const packet = (count: number): RawPacket => ({
      isValid: count <= max,
      descs: Array.from({ length: count }, (_, n) => ({
        addr: n * 4096,
        lenBytes: 100,
        options: n === count - 1 ? 0 : CONTD,
      })),
    });
    await sendRaw(link, [packet(max), packet(max + 1), packet(1), packet(max)]);
  });
}

async function statTxInvalid(bed: XskTestbed): Promise<void> {
  await withLink(bed, {}, async (link) => {
    const { frames, rings } = link.a;
    const ref = frames.allocNetmem();
    check(ref !== 0, "no frame");
    const offset = link.host.offsetOf(ref as ReadableRef);
    writePacket(link.host.u8.subarray(offset, offset + PACKET_BYTES), 0);
    const addr = offset - rings.umem.offset;
    const packets = Array.from({ length: 512 }, (_, n) => ({
      descs: [{ addr, lenBytes: n % 2 === 0 ? PACKET_BYTES : 4097 }],
      isValid: n % 2 === 0,
    }));
    await sendRaw(link, packets);
    checkEqual(link.a.statistics().txInvalidDescs, 256, "tx_invalid_descs");
    frames.put(ref, -1, false);
  });
}

const UNALIGNED = UmemFlag.UnalignedChunk;

/** Descriptors that the kernel must not send, in the kernel's own tables. */
export const descriptorCases: readonly SuiteCase<XskTestbed>[] = [
  { name: "ALIGNED_INV_DESC", run: invalidDesc({}) },
  { name: "ALIGNED_INV_DESC_2K_FRAME_SIZE", run: invalidDesc({ chunkSizeBytes: 2048 }) },
  { name: "UNALIGNED_INV_DESC", run: invalidDesc({ flags: UNALIGNED }) },
  { name: "UNALIGNED_INV_DESC_4001_FRAME_SIZE", run: invalidDesc({ flags: UNALIGNED, chunkSizeBytes: 4001 }) },
  { name: "ALIGNED_INV_DESC_MULTI_BUFF", run: invalidMultiBuff({}) },
  { name: "UNALIGNED_INV_DESC_MULTI_BUFF", run: invalidMultiBuff({ flags: UNALIGNED }) },
  { name: "TOO_MANY_FRAGS", run: tooManyFrags },
  { name: "STAT_TX_INVALID", run: statTxInvalid },
];

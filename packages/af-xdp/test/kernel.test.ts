/* What the catalogue says about the kernel's AF_XDP, asked of the kernel itself through the rings of a port. */
import { DescOption } from "@netmem/xsk";
import { expect, test } from "vitest";
import type { XskSocket } from "../src/index.ts";
import type { Stand, StandParams } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";
import { useStands } from "./stands.ts";

const CONTD = DescOption.PktContd;
const { cleanups, stand } = useStands();

interface Opened extends Stand {
  readonly socket: XskSocket;
  readonly far: PacketSocket;
  /** Posts pages of the page allocator to the fill ring. */
  post(count: number): void;
}

function open(params: StandParams = {}): Opened {
  const made = stand(params);
  const far = new PacketSocket(made.system, made.net.far);
  cleanups.push(() => far.close());
  const queue = made.port.queue(0);
  const socket = queue.open();
  queue.enable();
  const post = (count: number): void => {
    const refs = Int32Array.from({ length: count }, () => made.host.pages.allocPages(0));
    expect(socket.rings.post(refs, count)).toBe(count);
  };
  return { ...made, socket, far, post };
}

/** Takes everything off the RX ring and gives the pages back; returns lengths and options. */
function receiveAll({ socket, host }: Opened): [number, number][] {
  const { rings } = socket;
  const n = rings.receive(64);
  const found = Array.from({ length: n }, (_, k): [number, number] => [rings.lengths[k]!, rings.options[k]!]);
  for (let k = 0; k < n; k++) host.pages.freePage(rings.refs[k]! as never);
  return found;
}

test("#262 an empty fill ring: the packet is lost, and counted there", () => {
  const opened = open();
  opened.far.send(new Uint8Array(60));
  expect(opened.socket.statistics()).toMatchObject({ rxFillRingEmptyDescs: 1 });
  opened.post(1);
  opened.far.send(new Uint8Array(60));
  expect(receiveAll(opened)).toEqual([[60, 0]]);
});

test("#277 100 bytes are one descriptor, 256 bytes into a page", () => {
  const opened = open();
  opened.post(1);
  opened.far.send(new Uint8Array(100));
  expect(opened.socket.rings.receive(1)).toBe(1);
  expect([opened.socket.rings.lengths[0], opened.socket.rings.offsets[0]! & 4095]).toEqual([100, 256]);
  opened.host.pages.freePage(opened.socket.rings.refs[0]! as never);
});

test("#278 9000 bytes with fragments: 3840, 3840, 1320, the first two continued", () => {
  const opened = open({ testnet: { mtuBytes: 9000 } });
  expect(opened.port.frags).toBe(true);
  opened.post(8);
  opened.far.send(new Uint8Array(9000));
  expect(receiveAll(opened)).toEqual([
    [3840, CONTD],
    [3840, CONTD],
    [1320, 0],
  ]);
});

test("#280 an RX ring that nobody empties: the rest is counted, and what came first is there", () => {
  const opened = open({ port: { rings: { rx: 32, tx: 32, fill: 64, completion: 32 } } });
  opened.post(64);
  for (let n = 0; n < 50; n++) opened.far.send(new Uint8Array(60 + n));
  expect(opened.socket.statistics()).toMatchObject({ rxRingFull: 18 });
  expect(receiveAll(opened)).toEqual(Array.from({ length: 32 }, (_, n) => [60 + n, 0]));
});

test("#302 the kernel wants the first transmission to be announced", () => {
  const { socket, host, afXdp, far } = open();
  const page = host.pages.allocPages(0);
  if (page === 0) throw new Error("no page");
  expect(socket.rings.transmitOne(page, host.offsetOf(page), 60)).toBe(true);
  expect(socket.rings.submitTx()).toBe(true);
  expect(far.takeAll()).toEqual([]);
  expect(afXdp.wakeup.kickTx(socket.fd)).toBe(0);
  expect([far.takeAll().length, socket.rings.complete(1)]).toEqual([1, 1]);
});

test("#304 queues of one port share its UMEM and each have rings of their own", () => {
  const opened = open({ testnet: { queues: 2 } });
  const second = opened.port.queue(1).open();
  expect(opened.port.report().queues.map(({ mode }) => mode)).toEqual(["copy", "copy"]);
  expect(second.layouts.fill.descsAt).not.toBe(opened.socket.layouts.fill.descsAt);
  opened.post(64);
  expect([opened.socket.rings.census().fillPosted.total, second.rings.census().fillPosted.total]).toEqual([64, 0]);
});

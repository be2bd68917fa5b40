import { asNetmemRef, type Host } from "@netmem/core";
import { createUmem, type Umem, xskFlush, XskKernel, xskRcv, XskRings, type XskSocket } from "@netmem/xsk";
import { createHost } from "netmem";

const BURST = 64;
const PACKET_BYTES = 64;

/** Packets through an AF_XDP socket of the in-process kernel: received, sent back, completed, posted again. */
export class XskLoop {
  private readonly host: Host = createHost({ arenaBytes: 16 * 2 ** 20 });
  private readonly umem: Umem = createUmem(this.host, { ownBytes: 256 * 4096 });
  private readonly socket: XskSocket;
  private readonly rings: XskRings;
  private readonly refs: Int32Array = new Int32Array(BURST);
  private sent = 0;

  constructor() {
    const kernel = new XskKernel(this.host);
    kernel.addDevice({
      ifindex: 1,
      queueCount: 1,
      transmit: () => {
        this.sent++;
        return 0;
      },
    });
    this.socket = kernel.createSocket();
    this.socket.registerUmem(this.umem);
    for (const ring of ["fill", "completion", "rx", "tx"] as const) this.socket.setRing(ring, 256);
    this.socket.bind({ ifindex: 1, queueIdx: 0 });
    this.socket.setMaxTxBudget(256);
    this.rings = new XskRings(this.umem, this.socket.layouts);
  }

  run(packets: number): void {
    const { rings, socket, refs, host } = this;
    const { frames, offset } = this.umem;
    this.sent = 0;
    for (let n = 0; n < packets; n += BURST) {
      rings.post(refs, frames!.allocBulk(refs, BURST));
      for (let k = 0; k < BURST; k++) xskRcv(socket, 1, 0, host.u8, offset, PACKET_BYTES, 0);
      xskFlush(socket);
      const count = rings.receive(BURST);
      for (let k = 0; k < count; k++) {
        rings.transmitOne(asNetmemRef(rings.refs[k]!), rings.offsets[k]!, rings.lengths[k]!);
      }
      rings.submitTx();
      socket.sendto();
      rings.complete(BURST);
    }
    if (this.sent < packets) throw new Error(`${this.sent} of ${packets} packets were sent`);
  }
}

import { AF_INET, MSG_DONTWAIT, type NetNamespace, SOCK_CLOEXEC, SOCK_DGRAM, type System } from "@netmem/linux";

const BATCH = 32;
const MAX_BYTES = 1472;
const FIRST_BYTE = 17;

/** A UDP socket of the kernel in another namespace, which sends datagrams and compares what comes back. */
export class UdpPeer {
  sent = 0;
  received = 0;
  /** Not what was sent, or not in order. */
  wrong = 0;
  private readonly system: System;
  private readonly fd: number;
  private readonly buffer = new Uint8Array(MAX_BYTES + 1);

  constructor(system: System, namespace: NetNamespace, address: string, port: number) {
    this.system = system;
    this.fd = namespace.run(() => system.check("socket", system.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    const target = Uint8Array.of(
      AF_INET,
      0,
      port >> 8,
      port & 0xff,
      ...address.split(".").map(Number),
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
    );
    system.check("connect", system.connect(this.fd, target));
  }

  /** Takes what came and sends some more. */
  exchange(): void {
    this.receive();
    for (let n = 0; n < BATCH; n++) {
      const datagram = this.datagram(this.sent);
      if (this.system.send(this.fd, datagram, MSG_DONTWAIT) === datagram.length) this.sent++;
    }
  }

  receive(): void {
    for (;;) {
      const got = this.system.recv(this.fd, this.buffer, MSG_DONTWAIT);
      if (got < 0) return;
      const expected = this.datagram(this.received++);
      if (got !== expected.length || expected.some((byte, n) => byte !== this.buffer[n])) this.wrong++;
    }
  }

  close(): void {
    this.system.close(this.fd);
  }

  private datagram(n: number): Uint8Array {
    const bytes = new Uint8Array(1 + ((n * 97) % MAX_BYTES));
    for (let k = 0; k < bytes.length; k++) bytes[k] = (n * FIRST_BYTE + k) & 0xff;
    return bytes;
  }
}

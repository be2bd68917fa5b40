// Makes the traffic: a fixed list of flows, all running at the same time, each waiting for every answer.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { patternBytes, REQUEST_HEADER_BYTES, SERVER_PORT } from "./protocol.ts";

/** Net 0 has an MTU of 9000, net 1 of 1500. */
const jumbo4 = "10.77.0.2";
const jumbo6 = "fd00:77::2";
const small4 = "10.77.1.2";
const small6 = "fd00:77:1::2";

const ATTEMPTS = 100;
const ATTEMPT_MS = 50;
const ANSWER_MS = 2000;

async function connectTo(address: string, localPort: number): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    const socket = connect({ host: address, port: SERVER_PORT, localPort, noDelay: true });
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      socket.destroy();
      if (attempt === ATTEMPTS) throw error;
      await sleep(ATTEMPT_MS);
    }
  }
}

/** One connection: `exchanges` requests, each answered before the next. */
async function tcpFlow(
  address: string,
  localPort: number,
  exchanges: number,
  sizesOf: (nth: number) => [requestBytes: number, responseBytes: number],
): Promise<void> {
  const socket = await connectTo(address, localPort);
  let received = 0;
  let expected = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received >= expected) socket.emit("answered");
  });
  for (let nth = 0; nth < exchanges; nth++) {
    const [requestBytes, responseBytes] = sizesOf(nth);
    const header = Buffer.alloc(REQUEST_HEADER_BYTES);
    header.writeUInt32BE(requestBytes, 0);
    header.writeUInt32BE(responseBytes, 4);
    expected += responseBytes;
    const answered = once(socket, "answered", { signal: AbortSignal.timeout(ANSWER_MS * 5) });
    socket.write(Buffer.concat([header, patternBytes(requestBytes, localPort + nth)]));
    await answered;
    await sleep((localPort + nth) % 4);
  }
  socket.end();
  await once(socket, "close");
}

async function ask(socket: UdpSocket, address: string, lenBytes: number, seed: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const answered = once(socket, "message", { signal: AbortSignal.timeout(ANSWER_MS) });
    socket.send(patternBytes(lenBytes, seed), SERVER_PORT, address);
    try {
      await answered;
      return;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

/** One UDP flow: `count` datagrams, each echoed before the next. */
async function udpFlow(address: string, localPort: number, count: number, sizes: readonly number[]): Promise<void> {
  const isIpv6 = address.includes(":");
  const socket = createSocket({ type: isIpv6 ? "udp6" : "udp4" });
  socket.bind(localPort);
  await once(socket, "listening");
  for (let nth = 0; nth < count; nth++) {
    await ask(socket, address, sizes[(nth + localPort) % sizes.length] ?? 18, localPort + nth);
    await sleep((localPort + nth) % 3);
  }
  socket.close();
}

const flows: Promise<void>[] = [];
const small = (nth: number): [number, number] => [20 + ((nth * 67) % 300), 40 + ((nth * 211) % 900)];

for (let nth = 0; nth < 12; nth++) flows.push(tcpFlow(nth % 2 ? small4 : jumbo4, 41_000 + nth * 17, 20, small));
for (let nth = 0; nth < 10; nth++) flows.push(tcpFlow(nth % 2 ? small6 : jumbo6, 42_000 + nth * 23, 20, small));
flows.push(tcpFlow(small4, 43_001, 2, () => [64, 60_000]));
flows.push(tcpFlow(small4, 43_011, 1, () => [60_000, 64]));
flows.push(tcpFlow(small6, 43_021, 2, () => [64, 60_000]));
flows.push(tcpFlow(jumbo4, 43_031, 1, () => [64, 80_000]));
flows.push(tcpFlow(jumbo6, 43_041, 1, () => [80_000, 64]));

const sizes4 = [18, 32, 64, 120, 18, 250, 480, 64, 1200, 22];
const sizes6 = [8, 32, 64, 120, 18, 250, 480, 64, 1200];
for (let nth = 0; nth < 16; nth++) flows.push(udpFlow(nth % 2 ? small4 : jumbo4, 44_000 + nth * 13, 34, sizes4));
for (let nth = 0; nth < 12; nth++) flows.push(udpFlow(nth % 2 ? small6 : jumbo6, 45_000 + nth * 19, 28, sizes6));
flows.push(udpFlow(jumbo4, 46_001, 4, [8972, 4000]), udpFlow(jumbo6, 46_011, 4, [8952, 4000]));
// Larger than the MTU: these become fragments.
flows.push(udpFlow(small4, 47_001, 8, [1473, 2960, 4000, 2000]), udpFlow(small4, 47_011, 6, [3000, 1800]));
flows.push(udpFlow(small6, 48_001, 8, [1453, 2960, 4000, 2000]), udpFlow(small6, 48_011, 6, [3000, 1800]));
flows.push(udpFlow(jumbo4, 47_021, 1, [20_000]), udpFlow(jumbo6, 48_021, 1, [20_000]));

await Promise.all(flows);

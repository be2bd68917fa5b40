// Answers the traffic of client.ts: UDP datagrams are echoed, TCP requests get as many bytes as they ask for.
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { patternBytes, REQUEST_HEADER_BYTES, SERVER_PORT } from "./protocol.ts";

for (const type of ["udp4", "udp6"] as const) {
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(SERVER_PORT);
}

createServer(serve).listen(SERVER_PORT, "::");

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= REQUEST_HEADER_BYTES) {
      const requestBytes = REQUEST_HEADER_BYTES + pending.readUInt32BE(0);
      if (pending.length < requestBytes) return;
      const responseBytes = pending.readUInt32BE(4);
      pending = pending.subarray(requestBytes);
      socket.write(patternBytes(responseBytes, responseBytes));
    }
  });
}

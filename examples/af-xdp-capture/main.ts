/*
 * Writes every packet that arrives to a pcapng file, with the time at which it was taken off the ring. What is captured
 * does not reach the kernel. On a cable of its own, a thread at the other end sends.
 */
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { main, openStand, run, startGenerator } from "@netmem-examples/af-xdp-stand";
import { createPcapngWriter, LinkType } from "@netmem/capture";
import { asSkbRef, consumeSkb, copyBits, SkbView } from "@netmem/skb";

const MAX_PACKET_BYTES = 65536;
const VETH_PACKETS = 10_000;

await main(async (given) => {
  const options = { ...given, packets: given.ifname === null ? Math.min(given.packets, VETH_PACKETS) : given.packets };
  const stand = openStand(options);
  const { device, net, skbs, port } = stand;
  const file = createWriteStream(options.write);
  const writer = createPcapngWriter({ onChunk: (chunk) => void file.write(chunk) });
  const interfaceIdx = writer.addInterface({ linkType: LinkType.ethernet, name: port.ifname, tsResolution: 9 });
  const bytes = new Uint8Array(MAX_PACKET_BYTES);
  const view = new SkbView(skbs);
  const meta = { originalLenBytes: 0, tsSec: 0, tsNs: 0, interfaceIdx };
  device.setReceiver((skbRefs, count) => {
    const nowMs = performance.timeOrigin + performance.now();
    meta.tsSec = Math.floor(nowMs / 1000);
    meta.tsNs = Math.min(Math.floor((nowMs % 1000) * 1e6), 999_999_999);
    for (let n = 0; n < count; n++) {
      const skb = asSkbRef(skbRefs[n]!);
      const { len } = view.of(skb);
      copyBits(skbs, skb, 0, bytes, len);
      meta.originalLenBytes = len;
      writer.writePacket(bytes, 0, len, meta);
      consumeSkb(skbs, skb);
    }
  });
  device.open();
  console.log(JSON.stringify(port.report()));
  const stopGenerator = net === null ? null : startGenerator(net.far, new Uint8Array(60).fill(0xc0));
  await run(stand, options);
  await stopGenerator?.();
  const received = device.getStats().reduce((sum, { rxPackets }) => sum + rxPackets, 0);
  const isHome = await stand.close();
  writer.flush();
  file.end();
  await once(file, "close");
  console.log(`wrote ${writer.packetCount} packets, ${writer.totalBytes} bytes, to ${options.write}`);
  return isHome && writer.packetCount === received && (net === null || received > 0);
});

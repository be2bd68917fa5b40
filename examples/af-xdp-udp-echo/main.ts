/*
 * A host without a network stack: answers ARP, ping and UDP. On a cable of its own the kernel's stack at the other end
 * sends datagrams and counts what comes back; meanwhile it can be visited with nsenter.
 */
import { main, openStand, OUR_ADDRESS, PEER_ADDRESS, run } from "@netmem-examples/af-xdp-stand";
import { EchoResponder } from "./echo.ts";
import { UdpPeer } from "./udp-peer.ts";

await main(async (options) => {
  const stand = openStand(options);
  const { device, host, net, port, system } = stand;
  const ip = Uint8Array.from(OUR_ADDRESS.split("."), Number);
  const echo = new EchoResponder(host, { mac: port.macAddress, ip });
  device.setProgram((xdp) => echo.answer(xdp));
  device.open();
  console.log(JSON.stringify(port.report()));
  console.log(`answers for ${OUR_ADDRESS}`);
  if (net !== null)
    console.log(`try it: nsenter --net=${net.far.namespace.path} ping ${OUR_ADDRESS} (as ${PEER_ADDRESS})`);
  const peer = net === null ? null : new UdpPeer(system, net.far.namespace, OUR_ADDRESS, 7);
  await run(stand, options, () => peer?.exchange());
  // What was sent last is still on its way.
  await run(stand, { ...options, seconds: 0.2, packets: Infinity }, () => peer?.receive());
  const { arp, icmp, udp, other } = echo.counts;
  console.log(`answered ${arp} ARP, ${icmp} ping, ${udp} UDP; dropped ${other}`);
  if (peer !== null)
    console.log(`the kernel's UDP socket sent ${peer.sent}, got ${peer.received} back, ${peer.wrong} wrong`);
  peer?.close();
  const isHome = await stand.close();
  return isHome && (peer === null || (peer.sent > 0 && peer.received === peer.sent && peer.wrong === 0));
});

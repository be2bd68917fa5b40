/* Receives as fast as it can and drops everything. On a cable of its own, a thread at the other end sends. */
import { main, Meter, openStand, run, startGenerator } from "@netmem-examples/af-xdp-stand";
import { XdpVerdict } from "@netmem/netdev";

await main(async (options) => {
  const stand = openStand(options);
  const { device, net, port } = stand;
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  console.log(JSON.stringify(port.report()));
  const stopGenerator = net === null ? null : startGenerator(net.far, new Uint8Array(60));
  const meter = new Meter(stand, console.log);
  await run(stand, options, () => meter.tick());
  await stopGenerator?.();
  const dropped = device.getStats().reduce((sum, { xdpDrop }) => sum + xdpDrop, 0);
  const lost = stand.drivers.map(({ hw }) => hw.statistics()).reduce((sum, { rxRingFull }) => sum + rxRingFull, 0);
  const isHome = await stand.close();
  console.log(`dropped ${dropped} packets; the kernel lost ${lost} because the ring was full`);
  console.log(isHome ? "every page is home" : "pages are missing");
  return isHome && (net === null || dropped > 0);
});

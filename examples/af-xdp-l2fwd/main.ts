/* Sends every frame back with its addresses swapped, or on to a second interface, without copying it. */
import { main, Meter, openStand, run, startGenerator } from "@netmem-examples/af-xdp-stand";
import { XdpVerdict } from "@netmem/netdev";
import { swapMacs } from "./swap-macs.ts";

await main(async (options) => {
  const stand = openStand(options);
  const { device, net, host, port } = stand;
  const other = options.toIfname === null ? null : stand.addDevice(options.toIfname);
  device.setProgram((xdp) => {
    swapMacs(host, xdp);
    if (other === null) return XdpVerdict.Tx;
    xdp.redirectIfindex = other.ifindex;
    return XdpVerdict.Redirect;
  });
  other?.setProgram((xdp) => {
    xdp.redirectIfindex = device.ifindex;
    return XdpVerdict.Redirect;
  });
  device.open();
  other?.open();
  console.log(JSON.stringify(port.report()));
  const stopGenerator = net === null ? null : startGenerator(net.far, new Uint8Array(60));
  const meter = new Meter(stand, console.log);
  await run(stand, options, () => meter.tick());
  await stopGenerator?.();
  const total = (counter: "rxPackets" | "txPackets" | "xmitErrors"): number =>
    device.getStats().reduce((sum, stats) => sum + stats[counter], 0);
  const [received, sent, errors] = [total("rxPackets"), total("txPackets"), total("xmitErrors")];
  const isHome = await stand.close();
  console.log(`received ${received}, sent ${sent}, no room for ${errors}`);
  console.log(isHome ? "every page is home" : "pages are missing");
  return isHome && (net === null || sent > 0);
});

import { createIommuDevice } from "@netmem/dma";
import { createHost, createPagePool, PagePoolFlag } from "netmem";
import { WindowProvider } from "./window-provider.ts";

const host = createHost({ arenaBytes: 16 * 2 ** 20, dma: createIommuDevice });
const provider = new WindowProvider(host, 7);
host.providers.register(provider);

const pool = createPagePool(host, {
  name: "rx0",
  flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
  maxLenBytes: 4096,
  rxq: { ifindex: 1, queueIdx: 0, provider },
});
const refs = new Int32Array(200);
const count = pool.allocBulk(refs, refs.length);
console.log(`${count} buffers from the window at byte ${provider.area.baseOffset}, then none`);
pool.putNetmemBulk(refs, count);
console.log(`in flight: ${pool.inflight()}, and after destroy: ${pool.destroy() ? 0 : pool.inflight()}`);
process.exitCode = count === 128 ? 0 : 1;

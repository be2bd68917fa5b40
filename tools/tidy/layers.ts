/** Every package and its layer. Imports go down only; packages of one layer do not import each other. */
export const LAYERS: Readonly<Record<string, string>> = {
  testing: "kit",
  core: "l0",
  ring: "l1",
  mm: "l1",
  dma: "l1",
  linux: "l1",
  capture: "l1",
  "page-pool": "l2",
  hugepage: "l2",
  devmem: "l2",
  zcrx: "l2",
  xsk: "l2",
  skb: "l2",
  adaptors: "l2",
  netdev: "l3",
  "sim-nic": "l4",
  "af-xdp": "l4",
  "devmem-file": "l4",
  "devmem-webgpu": "l4",
  observe: "l5",
  netmem: "l5",
};

/** Layers whose sources run in browsers too: no `node:` modules. */
export const PORTABLE_LAYERS: ReadonlySet<string> = new Set(["kit", "l0", "l1", "l2", "l3"]);
/** Layers that install nothing but packages of this repository. */
export const PURE_LAYERS: ReadonlySet<string> = new Set(["kit", "l0", "l1", "l2"]);

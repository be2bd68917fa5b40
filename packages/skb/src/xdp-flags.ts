/** Flags of an xdp_buff and an xdp_frame; the first three are the kernel's. */
export const XdpFlag = {
  /** The packet goes on in fragments. */
  HasFrags: 1,
  /** A fragment comes from the emergency reserve. */
  PfMemalloc: 2,
  /** The CPU cannot read a fragment. */
  Unreadable: 4,
  /** A fragment belongs to something that is not the page allocator: an skb needs its `ppRecycle` bit. */
  Pooled: 8,
} as const;

import { type Host, MemType } from "@netmem/core";
import { PageOrder0 } from "./page-order0.ts";
import { PageShared } from "./page-shared.ts";
import type { PageAllocatorParams } from "./watermarks.ts";

/**
 * Puts the arena's pages under management and installs `page_order0` on the host. Pass it as
 * `createHost({ pageAllocator: createPageAllocator })`. Takes time proportional to the number of 4 MiB blocks.
 */
export function createPageAllocator(host: Host): PageOrder0 {
  return install(host, {});
}

/** As {@link createPageAllocator}, with watermarks or a limit: `createHost({ pageAllocator: createPageAllocatorWith(params) })`. */
export function createPageAllocatorWith(params: PageAllocatorParams): (host: Host) => PageOrder0 {
  return (host) => install(host, params);
}

function install(host: Host, params: PageAllocatorParams): PageOrder0 {
  const pages = new PageOrder0(host, params);
  host.memTypes.install({
    type: MemType.PageOrder0,
    name: "page_order0",
    drain: (_ownerId, refs, count) => pages.drain(refs, count),
  });
  return pages;
}

/** Installs `page_shared` on a host whose page allocator exists. */
export function createPageShared(host: Host): PageShared {
  const shared = new PageShared(host);
  host.memTypes.install({ type: MemType.PageShared, name: "page_shared", drain: () => {} });
  return shared;
}

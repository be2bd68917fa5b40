import { failParam, failWrongThread, type Host, MemType, NetmemError } from "@netmem/core";
import { PageOrder0 } from "./page-order0.ts";
import { PageShared } from "./page-shared.ts";
import { hasMarks, type PageAllocatorParams } from "./watermarks.ts";

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

/**
 * Joins the page allocator of a host on a thread that attached: `attachHost(shared, { pageAllocator: attachPageAllocator })`.
 * The thread gets a list of its own, which `detach()` gives back.
 *
 * @throws `ERR_NETMEM_NO_PAGE_ALLOCATOR` (ENODEV) when the creator has another one than this package's;
 * `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC); `ERR_NETMEM_WORKER_LISTED` (EBUSY) when a worker of its number left
 * without being reclaimed.
 */
export function attachPageAllocator(host: Host): PageOrder0 {
  if (host.attached === 0) {
    failParam("host", "created here", "a host that was attached to", "Use createPageAllocator with createHost.");
  }
  if (!hasMarks(host)) failNoAllocator();
  return installed(host, new PageOrder0(host));
}

function install(host: Host, params: PageAllocatorParams): PageOrder0 {
  if (host.attached !== 0) failWrongThread("createPageAllocator");
  return installed(host, new PageOrder0(host, params));
}

function installed(host: Host, pages: PageOrder0): PageOrder0 {
  host.memTypes.install({
    type: MemType.PageOrder0,
    name: "page_order0",
    drain: (_ownerId, refs, count) => pages.drain(refs, count),
  });
  return pages;
}

/** Installs `page_shared` on a host whose page allocator exists; also on a thread that attached. */
export function createPageShared(host: Host): PageShared {
  const shared = new PageShared(host);
  host.memTypes.install({ type: MemType.PageShared, name: "page_shared", drain: () => {} });
  return shared;
}

function failNoAllocator(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_PAGE_ALLOCATOR",
    errno: "ENODEV",
    reason: "the host that was attached to has no page allocator of @netmem/mm",
    remedy: "Create the host with pageAllocator: createPageAllocator.",
    param: "pageAllocator",
  });
}

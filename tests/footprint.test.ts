import { DESCRIPTOR_BYTES } from "@netmem/core";
import { createHost } from "netmem";
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const GIB = 2 ** 30;

test("a page costs at most 32 bytes of descriptor, JS heap included", () => {
  const script = `
    import { createHost } from "netmem";
    const before = () => (gc(), process.memoryUsage().heapUsed);
    createHost({ arenaBytes: ${GIB} });
    const heap = before();
    const host = createHost({ arenaBytes: ${GIB} });
    const { layout } = host;
    console.log(JSON.stringify({ heapBytes: before() - heap, pages: layout.pageCount, netmems: layout.maxNetmems }));`;
  const output = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  const { heapBytes, pages, netmems } = JSON.parse(output) as { heapBytes: number; pages: number; netmems: number };
  const perPage = (netmems * DESCRIPTOR_BYTES + heapBytes) / pages;
  console.log(`${perPage.toFixed(2)} bytes per page, ${heapBytes} of them in all on the JS heap`);
  expect(perPage).toBeLessThanOrEqual(32);
});

test("a host with a 1 GiB arena starts", () => {
  const from = performance.now();
  const host = createHost({ arenaBytes: GIB });
  console.log(`start-up took ${(performance.now() - from).toFixed(1)} ms`);
  expect(host.pages.allocPages(0)).not.toBe(0);
});

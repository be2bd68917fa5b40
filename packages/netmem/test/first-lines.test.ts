import { execFileSync } from "node:child_process";
import { createHost, createPagePool, isNetmemError } from "netmem";
import { expect, test } from "vitest";

test("the README's first lines run", () => {
  const host = createHost({ arenaBytes: 64 * 2 ** 20 });
  const pool = createPagePool(host, { poolSize: 1024 });
  const page = pool.allocPages();
  expect(page).not.toBe(0);
  if (page === 0) return;
  host.u8[host.offsetOf(page)] = 42;
  expect(host.copyOut(page, 0, 2)).toEqual(new Uint8Array([42, 0]));
  pool.putFullPage(page);
  try {
    pool.putFullPage(page);
    expect.unreachable();
  } catch (error) {
    expect(isNetmemError(error) && error.code).toBe("ERR_NETMEM_DOUBLE_PUT");
  }
  expect(pool.inflight()).toBe(64);
  expect(pool.destroy()).toBe(true);
  expect(pool.inflight()).toBe(0);
});

test("a detached pool's timer does not keep the process alive", () => {
  const script = `
    import { createHost, createPagePool } from "netmem";
    const pool = createPagePool(createHost({ arenaBytes: 8 * 2 ** 20 }));
    pool.allocNetmem();
    console.log(pool.destroy());`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
    timeout: 10_000,
  });
  expect(output.trim()).toBe("false");
});

test("warnings go through the runtime, with their code", () => {
  const script = `
    import { createHost, createPagePool } from "netmem";
    process.on("warning", (w) => console.log(w.name, w.code));
    const pool = createPagePool(createHost({ arenaBytes: 8 * 2 ** 20 }));
    pool.allocFrag(5000);`;
  const output = execFileSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  expect(output.trim()).toBe("NetmemWarning WARN_NETMEM_FRAG_SIZE");
});

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { loadKoffi } from "../src/koffi.ts";
import { checkPlatform, reportPlatform } from "../src/platform.ts";
import { linuxTest } from "./linux-needs.ts";

const getBuiltinModule = (): object => ({});
const node = { platform: "linux", arch: "x64", pid: 1, versions: { node: "26.0.0" }, getBuiltinModule };

const reasons = [
  ["a browser", {}, /no Node\.js process/],
  ["macOS", { process: { ...node, platform: "darwin" } }, /platform is darwin/],
  ["Windows", { process: { ...node, platform: "win32" } }, /platform is win32/],
  ["Bun", { process: { ...node, versions: { ...node.versions, bun: "1.3.0" } } }, /Bun/],
  ["Deno", { process: { ...node, versions: { ...node.versions, deno: "2.4.0" } } }, /Deno/],
  ["a 32-bit processor", { process: { ...node, arch: "arm" } }, /processor is arm/],
  ["an old Node.js", { process: { ...node, getBuiltinModule: undefined } }, /older than 22/],
] as const;

test.for(reasons)("%s gets a named reason and a coded error", ([, runtime, reason]) => {
  const fake = runtime as Parameters<typeof reportPlatform>[0];
  expect(reportPlatform(fake).reason).toMatch(reason);
  expect(() => checkPlatform(fake)).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_UNSUPPORTED_PLATFORM", errno: "ENOSYS", param: "platform" }),
  );
});

test("Node.js under Linux has no reason against it", () => {
  expect(reportPlatform({ process: node }).reason).toBeNull();
  expect(() => checkPlatform({ process: node })).not.toThrow();
});

linuxTest("without koffi the error says how to get it", [], () => {
  const elsewhere = createRequire("/proc/self/no-package.js");
  expect(() => loadKoffi((name) => elsewhere(`not-${name}`))).toThrow(
    expect.objectContaining({ code: "ERR_NETMEM_KOFFI_MISSING", remedy: expect.stringContaining("npm install koffi") }),
  );
});

test("where there is no process object the package loads, and says what is missing", () => {
  const index = new URL("../src/index.ts", import.meta.url).href;
  const testnet = new URL("../src/testnet/index.ts", import.meta.url).href;
  const program = `
    const log = console.log;
    globalThis.process = undefined;
    const linux = await import(${JSON.stringify(index)});
    await import(${JSON.stringify(testnet)});
    log(linux.probeLinux().systemCalls.reason);
    try { linux.openSystem(); } catch (error) { log(error.code); }
  `;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  expect(child.stdout).toBe("this is no Node.js process\nERR_NETMEM_UNSUPPORTED_PLATFORM\n");
});

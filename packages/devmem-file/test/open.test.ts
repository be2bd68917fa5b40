import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { isNetmemError } from "@netmem/core";
import { expect, test } from "vitest";
import { handleOps } from "../src/file-ops.ts";
import { type FileMemoryParams, openFileMemory } from "../src/index.ts";
import { newPath, openNew } from "./open-file.ts";

const MIB = 2 ** 20;

async function errorOf(params: FileMemoryParams): Promise<unknown> {
  try {
    await openFileMemory(params);
  } catch (error) {
    return isNetmemError(error) ? [error.code, error.errno, error.param] : error;
  }
  return null;
}

test("a file that is there is left alone unless the caller says otherwise", async () => {
  const path = newPath();
  writeFileSync(path, "precious");
  expect(await errorOf({ path, sizeBytes: MIB })).toEqual(["ERR_NETMEM_FILE_OPEN", "EEXIST", "path"]);
  expect(readFileSync(path, "utf8")).toBe("precious");
  const memory = await openFileMemory({ path, sizeBytes: MIB, existing: "reuse" });
  const landing = memory.beginLanding(8, 4);
  landing?.bytes.set([33, 33, 33, 33]);
  await landing?.commit(4);
  await memory.close();
  const bytes = readFileSync(path);
  expect([bytes.length, bytes.toString("utf8", 0, 12)]).toEqual([MIB, "precious!!!!"]);
});

test("bad parameters and paths: coded errors, and no file is left", async () => {
  const path = newPath();
  const invalid = "ERR_NETMEM_INVALID_PARAM";
  const bad: readonly (readonly [Partial<FileMemoryParams>, string])[] = [
    [{ sizeBytes: 4095 }, "sizeBytes"],
    [{ sizeBytes: 4097 }, "sizeBytes"],
    [{ sizeBytes: 2 ** 60 }, "sizeBytes"],
    [{ landingBytes: 100 }, "landingBytes"],
    [{ stagingBytes: 4096 }, "stagingBytes"],
    [{ landingBytes: 8192, stagingBytes: 8193 }, "stagingBytes"],
  ];
  for (const [params, param] of bad) {
    expect(await errorOf({ path, sizeBytes: MIB, ...params })).toEqual([invalid, "EINVAL", param]);
  }
  expect(await errorOf({ path: `${path}/none`, sizeBytes: MIB })).toEqual(["ERR_NETMEM_FILE_OPEN", "ENOENT", "path"]);
  mkdirSync(path);
  const found = await errorOf({ path, sizeBytes: MIB, existing: "reuse" });
  expect(found).toEqual(["ERR_NETMEM_FILE_OPEN", "EISDIR", "path"]);
  expect(readdirSync(path)).toEqual([]);
});

/** Access modes of the descriptors that this process has of a file: 0 read, 1 write, 2 both. */
function accessModes(path: string): number[] {
  const modes: number[] = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== path) continue;
    } catch {
      continue;
    }
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "";
    modes.push(Number.parseInt(flags, 8) & 3);
  }
  return modes.toSorted((a, b) => a - b);
}

test("isolation descriptor: this process can write and not read, until it asks for a readback", async ({ skip }) => {
  if (process.platform !== "linux") skip("looks at the descriptors in /proc");
  const path = newPath();
  const memory = await openNew({ path });
  expect([memory.isolation, accessModes(path)]).toEqual(["descriptor", [1]]);
  await memory.readback([{ offset: 0, length: 1 }]);
  expect(accessModes(path)).toEqual([0, 1]);
  await memory.close();
  expect(accessModes(path)).toEqual([]);
});

const CONSUMER = `
const { readSync, writeSync } = require("node:fs");
const bytes = Buffer.alloc(5);
readSync(3, bytes, 0, 5, 4096);
let errno = "none";
try { writeSync(3, "x"); } catch (error) { errno = error.code; }
console.log(bytes.toString(), errno);
`;

test("a file that could not be made ready is not left behind", async ({ skip }) => {
  const path = newPath();
  const found = await errorOf({ path, sizeBytes: Number.MAX_SAFE_INTEGER - 4095 });
  if (found === null) skip("the file system of the temporary folder takes files of 8 PiB");
  expect(found).toEqual(["ERR_NETMEM_FILE_OPEN", "EFBIG", "path"]);
  expect(existsSync(path)).toBe(false);
  const memory = await openFileMemory({ path, sizeBytes: 4096 });
  await memory.close();
});

test("a descriptor that fails to close takes no other with it", async () => {
  let closed = 0;
  const writer = { close: () => Promise.reject(new Error("EIO")) } as unknown as FileHandle;
  const reader = {
    read: async () => ({ bytesRead: 1 }),
    close: async () => void closed++,
  } as unknown as FileHandle;
  const ops = handleOps(writer, async () => reader);
  await ops.read(new Uint8Array(1), 0);
  await expect(ops.close()).rejects.toThrow("EIO");
  expect(closed).toBe(1);
});

test("a consumer in another process gets a descriptor for reading alone", async () => {
  const path = newPath();
  const memory = await openNew({ path });
  const landing = memory.beginLanding(4096, 5);
  landing?.bytes.set(Buffer.from("hello"));
  await landing?.commit(5);
  const reader = await open(path, "r");
  const stdio = ["ignore", "pipe", "inherit", reader.fd] as const;
  const { stdout } = spawnSync(process.execPath, ["-e", CONSUMER], { stdio: [...stdio], encoding: "utf8" });
  expect(stdout).toBe("hello EBADF\n");
  await reader.close();
  await memory.close();
});

test("close waits for a readback under way", async () => {
  const memory = await openNew();
  const read = memory.readback([{ offset: 0, length: MIB }]);
  await memory.close();
  expect((await read).length).toBe(MIB);
});

test("a readback of a file that cannot be opened is refused, and the memory goes on", async () => {
  const path = newPath();
  const memory = await openNew({ path });
  unlinkSync(path);
  await expect(memory.readback([{ offset: 0, length: 1 }])).rejects.toMatchObject({
    code: "ERR_NETMEM_FILE_OPEN",
    errno: "ENOENT",
  });
  await memory.beginLanding(0, 10)?.commit(10);
  await memory.close();
});

import { fillPattern, findPatternMismatch } from "@netmem/testing";
import { expect, test } from "vitest";
import type { DeviceMemory } from "@netmem/devmem";
import { errnoError, openFaulty } from "./open-file.ts";

const PAGE = 4096;

function land(memory: DeviceMemory, offset: number, length: number, seed: number): Promise<void> {
  const landing = memory.beginLanding(offset, length)!;
  fillPattern(landing.bytes, 0, length, seed);
  return landing.commit(length)!;
}

async function codesOf(promises: readonly Promise<void>[]): Promise<(string | null)[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((one) => (one.status === "fulfilled" ? null : String((one.reason as { code?: string }).code)));
}

test("neighbours go by one write, in the order of the commits; others by one each", async () => {
  const { file, memory } = openFaulty();
  const first = [land(memory, 0, PAGE, 1), land(memory, PAGE, 100, 2), land(memory, PAGE + 100, PAGE, 3)];
  const apart = [land(memory, 5 * PAGE, PAGE, 4), land(memory, 4 * PAGE, PAGE, 5)];
  await Promise.all([...first, ...apart]);
  expect(file.log).toEqual([
    [0, 3],
    [5 * PAGE, 1],
    [4 * PAGE, 1],
  ]);
  expect(memory.stats()).toEqual({ writes: 3, writtenBytes: 4 * PAGE + 100, shortWrites: 0, syncs: 0, failed: 0 });
  await memory.close();
});

test("what is committed during a write goes with the next one", async () => {
  const { file, memory } = openFaulty();
  const landings = [land(memory, 0, PAGE, 1)];
  await Promise.resolve();
  await Promise.resolve();
  for (let n = 1; n < 10; n++) landings.push(land(memory, n * PAGE, PAGE, 1));
  await Promise.all(landings);
  expect(file.log.map(([, buffers]) => buffers)).toEqual([1, 9]);
  await memory.close();
});

test("a short write is continued where it ended, inside a landing and between two", async () => {
  const { file, memory } = openFaulty();
  const takes = [100, PAGE - 100, 1, Infinity];
  file.nextWrite = () => takes.shift() ?? Infinity;
  await Promise.all([land(memory, 0, PAGE, 1), land(memory, PAGE, PAGE, 2), land(memory, 2 * PAGE, PAGE, 3)]);
  for (const seed of [1, 2, 3]) expect(findPatternMismatch(file.bytes, (seed - 1) * PAGE, PAGE, seed)).toBe(-1);
  expect(file.log.map(([position]) => position)).toEqual([0, 100, PAGE, PAGE + 1]);
  expect(memory.stats()).toMatchObject({ writes: 4, shortWrites: 3, writtenBytes: 3 * PAGE });
  await memory.close();
});

test("no room fails the landings that did not fit, none before them, and the memory goes on", async () => {
  const { file, memory } = openFaulty();
  const takes = [PAGE + 10, errnoError("ENOSPC")];
  file.nextWrite = () => takes.shift() ?? Infinity;
  const landings = [land(memory, 0, PAGE, 1), land(memory, PAGE, PAGE, 2), land(memory, 2 * PAGE, PAGE, 3)];
  expect(await codesOf(landings)).toEqual([null, "ERR_NETMEM_FILE_FULL", "ERR_NETMEM_FILE_FULL"]);
  await expect(landings[1]).rejects.toMatchObject({ errno: "ENOSPC", value: PAGE });
  await land(memory, PAGE, PAGE, 4);
  expect(findPatternMismatch(file.bytes, PAGE, PAGE, 4)).toBe(-1);
  expect(memory.stats().failed).toBe(2);
  await memory.close();
});

test("any other error is the end of the memory, and of what waits", async () => {
  const { file, memory } = openFaulty();
  file.nextWrite = () => errnoError("EIO");
  const landings = [land(memory, 0, PAGE, 1), land(memory, 8 * PAGE, PAGE, 2)];
  expect(await codesOf(landings)).toEqual(["ERR_NETMEM_DEVICE_LOST", "ERR_NETMEM_DEVICE_LOST"]);
  expect(memory.beginLanding(0, PAGE)).toBe(null);
  await memory.close();
  expect(file.isClosed).toBe(true);
});

test("a file that takes nothing and says nothing does not hold the queue up", async () => {
  const { file, memory } = openFaulty();
  file.nextWrite = () => 0;
  expect(await codesOf([land(memory, 0, PAGE, 1)])).toEqual(["ERR_NETMEM_DEVICE_LOST"]);
  await memory.close();
});

test("durability landing: one sync for all that waits, and nothing resolves before it", async () => {
  const { file, memory } = openFaulty({ durability: "landing" });
  const landings = [0, 3, 6].map((page) =>
    land(memory, page * PAGE, PAGE, page).then(() =>
      expect(findPatternMismatch(file.durable, page * PAGE, PAGE, page)).toBe(-1),
    ),
  );
  await Promise.all(landings);
  expect(memory.stats()).toMatchObject({ writes: 3, syncs: 1 });
  file.syncError = errnoError("EIO");
  expect(await codesOf([land(memory, 0, PAGE, 9)])).toEqual(["ERR_NETMEM_DEVICE_LOST"]);
  // A second sync would say that all is well: the kernel has dropped what it could not write.
  file.syncError = null;
  expect(memory.beginLanding(0, PAGE)).toBe(null);
  await memory.close();
});

test("durability close: close says when it was not reached; the others do not sync", async () => {
  for (const durability of ["none", "close"] as const) {
    const { file, memory } = openFaulty({ durability });
    await land(memory, 0, PAGE, 1);
    expect(findPatternMismatch(file.durable, 0, PAGE, 1)).not.toBe(-1);
    await memory.close();
    expect(findPatternMismatch(file.durable, 0, PAGE, 1) === -1).toBe(durability === "close");
  }
  const { file, memory } = openFaulty({ durability: "close" });
  await land(memory, 0, PAGE, 1);
  file.syncError = errnoError("EIO");
  await expect(memory.close()).rejects.toMatchObject({ code: "ERR_NETMEM_DEVICE_LOST" });
  expect(file.isClosed).toBe(true);
});

test("past the page cache: lengths are rounded up with zeros, never with what was in the staging before", async () => {
  const { file, memory } = openFaulty({ direct: true, stagingBytes: 2 ** 18 });
  for (let n = 0; n < 64; n++) await land(memory, 0, PAGE, 1);
  await land(memory, 0, 100, 2);
  expect(findPatternMismatch(file.bytes, 0, 100, 2)).toBe(-1);
  expect(file.bytes.subarray(100, PAGE).every((byte) => byte === 0)).toBe(true);
  await memory.close();
});

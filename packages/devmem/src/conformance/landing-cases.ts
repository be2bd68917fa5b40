import { isNetmemError } from "@netmem/core";
import { check, checkEqual, checkThrows, fillPattern, findPatternMismatch, type SuiteCase } from "@netmem/testing";
import type { DeviceLanding, DeviceMemory } from "../device-memory.ts";
import type { DeviceMemorySubject } from "./device-memory-subject.ts";

const PAGE_BYTES = 4096;
/** More landings than any memory has staging for. */
const MANY = 4096;

/** What a promise rejects with. */
async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return null;
}

async function checkRejects(promise: Promise<unknown>, code: string, what: string): Promise<void> {
  const error = await errorOf(promise);
  check(isNetmemError(error) && error.code === code, `${what}: ${String(error)} instead of ${code}`);
}

/** Staging; waits for it where the memory has none at the moment. */
async function begin(memory: DeviceMemory, offset: number, lengthBytes: number): Promise<DeviceLanding> {
  for (let tries = 0; tries < 100; tries++) {
    const landing = memory.beginLanding(offset, lengthBytes);
    if (landing !== null) return landing;
    await memory.readback([]);
  }
  throw new Error("no staging came free");
}

/** Lands a pattern; `seed` says which. */
async function land(memory: DeviceMemory, offset: number, lengthBytes: number, seed: number): Promise<void> {
  const landing = await begin(memory, offset, lengthBytes);
  fillPattern(landing.bytes, 0, lengthBytes, seed);
  await landing.commit(lengthBytes);
}

async function checkPattern(memory: DeviceMemory, offset: number, length: number, seed: number): Promise<void> {
  const bytes = await memory.readback([{ offset, length }]);
  checkEqual(bytes.length, length, "bytes read back");
  checkEqual(findPatternMismatch(bytes, 0, length, seed), -1, `first wrong byte of ${length} at ${offset}`);
}

/** Says where two arrays differ, not what all of them is. */
function checkSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  checkEqual(actual.length, expected.length, `${what}: length`);
  checkEqual(
    actual.findIndex((byte, n) => byte !== expected[n]),
    -1,
    `${what}: first wrong byte`,
  );
}

function describesItself(memory: DeviceMemory): void {
  const { alignBytes, landingBytes, sizeBytes } = memory;
  check(memory.kind.length > 0, "the memory has no kind");
  check(["api", "descriptor", "language", "hardware"].includes(memory.isolation), `isolation ${memory.isolation}`);
  check(sizeBytes >= 2 ** 20 && sizeBytes % PAGE_BYTES === 0, `sizeBytes ${sizeBytes}`);
  check(landingBytes >= 65536 && landingBytes % PAGE_BYTES === 0, `landingBytes ${landingBytes}`);
  check(
    alignBytes >= 1 && alignBytes <= PAGE_BYTES && (alignBytes & (alignBytes - 1)) === 0,
    `alignBytes ${alignBytes}`,
  );
  checkEqual(memory.readbackBytes, 0, "bytes read back at the start");
}

async function landsWhatItIsGiven(memory: DeviceMemory): Promise<void> {
  const last = memory.sizeBytes - PAGE_BYTES;
  const lengths = [1, 3, 4, 1447, 1448, PAGE_BYTES - 1, PAGE_BYTES, 65536];
  let offset = 0;
  for (const [seed, length] of lengths.entries()) {
    await land(memory, offset, length, seed + 1);
    await checkPattern(memory, offset, length, seed + 1);
    offset += Math.ceil(length / PAGE_BYTES) * PAGE_BYTES;
  }
  await land(memory, last, PAGE_BYTES, 99);
  await checkPattern(memory, last, PAGE_BYTES, 99);
  await checkPattern(memory, 0, 1, 1);
}

async function keepsNeighbours(memory: DeviceMemory): Promise<void> {
  const { alignBytes } = memory;
  await land(memory, 0, 3 * PAGE_BYTES, 5);
  await land(memory, PAGE_BYTES, 1000, 6);
  const rounded = Math.ceil(1000 / alignBytes) * alignBytes;
  const before = await memory.readback([{ offset: 0, length: PAGE_BYTES }]);
  const after = await memory.readback([{ offset: 2 * PAGE_BYTES, length: PAGE_BYTES }]);
  const expected = new Uint8Array(3 * PAGE_BYTES);
  fillPattern(expected, 0, expected.length, 5);
  checkSame(before, expected.subarray(0, PAGE_BYTES), "the page before");
  checkSame(after, expected.subarray(2 * PAGE_BYTES), "the page behind");
  const rest = await memory.readback([{ offset: PAGE_BYTES + rounded, length: PAGE_BYTES - rounded }]);
  checkSame(rest, expected.subarray(PAGE_BYTES + rounded, 2 * PAGE_BYTES), "the rest of the page");
}

async function landsLessThanAsked(memory: DeviceMemory): Promise<void> {
  await land(memory, 0, 2 * PAGE_BYTES, 7);
  const landing = await begin(memory, 0, 2 * PAGE_BYTES);
  fillPattern(landing.bytes, 0, PAGE_BYTES, 8);
  await landing.commit(PAGE_BYTES);
  await checkPattern(memory, 0, PAGE_BYTES, 8);
  const second = await memory.readback([{ offset: PAGE_BYTES, length: PAGE_BYTES }]);
  const expected = new Uint8Array(2 * PAGE_BYTES);
  fillPattern(expected, 0, expected.length, 7);
  checkSame(second, expected.subarray(PAGE_BYTES), "bytes that were not committed");
}

async function keepsOrder(memory: DeviceMemory): Promise<void> {
  const pending: (Promise<void> | null)[] = [];
  for (let seed = 1; seed <= 3; seed++) {
    const landing = memory.beginLanding(0, PAGE_BYTES);
    if (landing === null) break;
    fillPattern(landing.bytes, 0, PAGE_BYTES, seed);
    pending.push(landing.commit(PAGE_BYTES));
  }
  check(pending.length > 0, "no staging at all");
  // Not awaited: the readback is behind the commits.
  await checkPattern(memory, 0, PAGE_BYTES, pending.length);
  for (const visible of pending) await visible;
}

async function keepsManyLandingsApart(memory: DeviceMemory): Promise<void> {
  const count = Math.min(64, memory.sizeBytes / PAGE_BYTES);
  await Promise.all(Array.from({ length: count }, (_, n) => n).map((n) => land(memory, n * PAGE_BYTES, 1500, n + 1)));
  const frags = Array.from({ length: count }, (_, n) => ({ offset: (count - 1 - n) * PAGE_BYTES, length: 1500 }));
  const bytes = await memory.readback(frags);
  for (let n = 0; n < count; n++) {
    checkEqual(findPatternMismatch(bytes, n * 1500, 1500, count - n), -1, `fragment ${n}`);
  }
}

async function pushesBack(memory: DeviceMemory): Promise<void> {
  const open: DeviceLanding[] = [];
  for (let n = 0; n < MANY; n++) {
    const landing = memory.beginLanding(0, memory.landingBytes);
    if (landing === null) break;
    open.push(landing);
    if (open.length === 64) break;
  }
  check(open.length > 0, "no staging at all");
  for (const landing of open) landing.abort();
  const again = memory.beginLanding(0, PAGE_BYTES);
  check(again !== null, "no staging after everything was aborted");
  again?.abort();
}

async function aborts(memory: DeviceMemory): Promise<void> {
  await land(memory, 0, PAGE_BYTES, 11);
  const landing = await begin(memory, 0, PAGE_BYTES);
  // Memory may land in place, so what was written before an abort is undefined; what was not is untouched.
  landing.abort();
  await checkPattern(memory, 0, PAGE_BYTES, 11);
}

async function endsLandingsOnce(memory: DeviceMemory): Promise<void> {
  const committed = await begin(memory, 0, PAGE_BYTES);
  await committed.commit(PAGE_BYTES);
  checkThrows(() => committed.commit(PAGE_BYTES), "ERR_NETMEM_LANDING_USED", "a second commit");
  checkThrows(() => committed.abort(), "ERR_NETMEM_LANDING_USED", "an abort after commit");
  const aborted = await begin(memory, 0, PAGE_BYTES);
  aborted.abort();
  checkThrows(() => aborted.commit(PAGE_BYTES), "ERR_NETMEM_LANDING_USED", "a commit after abort");
  await land(memory, 0, PAGE_BYTES, 12);
}

async function refusesBadRanges(memory: DeviceMemory): Promise<void> {
  const { sizeBytes, landingBytes, alignBytes } = memory;
  const bad: readonly (readonly [number, number])[] = [
    [-PAGE_BYTES, PAGE_BYTES],
    [sizeBytes, PAGE_BYTES],
    [sizeBytes - PAGE_BYTES, 2 * PAGE_BYTES],
    [0, 0],
    [0, landingBytes + 1],
    [0.5, 10],
    [Number.NaN, 10],
  ];
  for (const [offset, length] of bad) {
    checkThrows(() => memory.beginLanding(offset, length), "ERR_NETMEM_DEVICE_RANGE", `${length} bytes at ${offset}`);
  }
  if (alignBytes > 1) checkThrows(() => memory.beginLanding(1, 10), "ERR_NETMEM_DEVICE_RANGE", "an odd offset");
  const landing = await begin(memory, 0, PAGE_BYTES);
  for (const length of [PAGE_BYTES + 1, -1, 0.5, Number.NaN]) {
    checkThrows(() => landing.commit(length), "ERR_NETMEM_DEVICE_RANGE", `${length} of ${PAGE_BYTES} bytes`);
  }
  // Nothing has ended it.
  landing.abort();
  await checkRejects(memory.readback([{ offset: sizeBytes, length: 1 }]), "ERR_NETMEM_DEVICE_RANGE", "a readback");
  await checkRejects(memory.readback([{ offset: 0, length: -1 }]), "ERR_NETMEM_DEVICE_RANGE", "a negative readback");
  await land(memory, 0, PAGE_BYTES, 13);
  await checkPattern(memory, 0, PAGE_BYTES, 13);
}

async function countsReadbacks(memory: DeviceMemory): Promise<void> {
  await land(memory, 0, PAGE_BYTES, 14);
  checkEqual((await memory.readback([])).length, 0, "bytes of no fragment");
  await memory.readback([
    { offset: 0, length: 100 },
    { offset: PAGE_BYTES, length: 28 },
  ]);
  checkEqual(memory.readbackBytes, 128, "bytes counted");
}

async function closes(memory: DeviceMemory): Promise<void> {
  const begun = await begin(memory, 0, PAGE_BYTES);
  const committed = memory.beginLanding(PAGE_BYTES, PAGE_BYTES)?.commit(PAGE_BYTES) ?? null;
  let isLanded = committed === null;
  const settled = committed?.then(() => (isLanded = true));
  await memory.close();
  check(isLanded, "close did not wait for a committed landing");
  await settled;
  await checkRejects(begun.commit(PAGE_BYTES) ?? Promise.resolve(), "ERR_NETMEM_DEVICE_CLOSED", "a commit after close");
  checkEqual(memory.beginLanding(0, PAGE_BYTES), null, "a landing after close");
  await checkRejects(memory.readback([{ offset: 0, length: 1 }]), "ERR_NETMEM_DEVICE_CLOSED", "a readback after close");
  await memory.close();
}

function withMemory(run: (memory: DeviceMemory) => void | Promise<void>) {
  return async (subject: DeviceMemorySubject): Promise<void> => {
    const memory = await subject.open();
    try {
      await run(memory);
    } finally {
      await memory.close();
    }
  };
}

async function survivesLoss(subject: DeviceMemorySubject): Promise<void> {
  const memory = await subject.open();
  if (subject.lose === undefined) return memory.close();
  const landing = await begin(memory, 0, PAGE_BYTES);
  const visible = landing.commit(PAGE_BYTES);
  const read = memory.readback([{ offset: 0, length: 1 }]);
  subject.lose(memory);
  if (visible !== null) await checkRejects(visible, "ERR_NETMEM_DEVICE_LOST", "a landing");
  await checkRejects(read, "ERR_NETMEM_DEVICE_LOST", "a readback");
  checkEqual(memory.beginLanding(0, PAGE_BYTES), null, "a landing after the loss");
  await memory.close();
}

/** What a landing zone and its consumer rely on. */
export const landingCases: readonly SuiteCase<DeviceMemorySubject>[] = [
  { name: "says what it is", run: withMemory(describesItself) },
  { name: "lands bytes of any length at its offsets", run: withMemory(landsWhatItIsGiven) },
  { name: "leaves neighbouring bytes alone", run: withMemory(keepsNeighbours) },
  { name: "lands less than was asked for", run: withMemory(landsLessThanAsked) },
  { name: "lands in the order of the commits, and readbacks see them", run: withMemory(keepsOrder) },
  { name: "keeps many landings apart", run: withMemory(keepsManyLandingsApart) },
  { name: "has staging again after aborts", run: withMemory(pushesBack) },
  { name: "lands nothing after an abort", run: withMemory(aborts) },
  { name: "ends a landing once", run: withMemory(endsLandingsOnce) },
  { name: "refuses ranges that it does not have, and works on", run: withMemory(refusesBadRanges) },
  { name: "counts what is read back", run: withMemory(countsReadbacks) },
  { name: "closes after what was committed, once", run: withMemory(closes) },
  { name: "fails what is under way when the device is lost", run: survivesLoss },
];

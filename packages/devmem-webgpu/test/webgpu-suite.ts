import { isNetmemError } from "@netmem/core";
import type { DeviceFrag, DeviceLanding } from "@netmem/devmem";
import { check, checkEqual, fillPattern, findPatternMismatch, Prng, type Suite } from "@netmem/testing";
import { adler32, adler32Kernel, type FragKernel, type WebGpuMemory } from "../src/index.ts";
import type { GpuSubject } from "./gpu-subject.ts";

const PAGE = 4096;
const MIB = 2 ** 20;

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return isNetmemError(error) ? error.code : String(error);
  }
}

/** Lands bytes of the generator on all of the memory, and returns them. */
async function landRandom(memory: WebGpuMemory, prng: Prng): Promise<Uint8Array> {
  const bytes = Uint8Array.from({ length: memory.sizeBytes }, () => prng.below(256));
  for (let at = 0; at < bytes.length; at += memory.landingBytes) {
    const landing = memory.beginLanding(at, memory.landingBytes);
    check(landing !== null, "no staging");
    landing.bytes.set(bytes.subarray(at, at + memory.landingBytes));
    await landing.commit(memory.landingBytes);
  }
  return bytes;
}

/** Fragments of any offset and length, in any order. */
function randomFrags(prng: Prng, count: number, sizeBytes: number): DeviceFrag[] {
  return Array.from({ length: count }, () => {
    const length = prng.below(4) === 0 ? prng.below(9) : prng.below(9000);
    return { offset: prng.below(sizeBytes - length), length };
  });
}

const bytesOf = (all: Uint8Array, { offset, length }: DeviceFrag): Uint8Array => all.subarray(offset, offset + length);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function checksums(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const prng = new Prng(7);
  const bytes = await landRandom(memory, prng);
  const frags = randomFrags(prng, 1000, memory.sizeBytes);
  const sums = await memory.run(adler32Kernel, frags);
  const wrong = frags.filter((frag, n) => sums[n] !== adler32(bytesOf(bytes, frag)));
  checkEqual(wrong.length, 0, "wrong checksums");
  checkEqual(memory.readbackBytes, 0, "bytes read back");
  // The check can fail: one byte more, one less, one place on.
  const off = await memory.run(
    adler32Kernel,
    [1, -1, 0].map((by) => ({ offset: PAGE + (by === 0 ? 1 : 0), length: 1448 + by })),
  );
  const right = adler32(bytes.subarray(PAGE, PAGE + 1448));
  check(!off.includes(right), "a checksum of other bytes is the same");
}

const endKernel: FragKernel = {
  wordsPerFrag: 2,
  code: `
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
  let n = fragOf(group);
  if (n >= arrayLength(&frags)) { return; }
  atomicStore(&out[2u * n], frags[n].offset + frags[n].length);
  atomicStore(&out[2u * n + 1u], frags[n].at);
}`,
};

async function manyFrags(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const frags = Array.from({ length: 140_000 }, (_, n) => ({ offset: n, length: 5 }));
  const words = await memory.run(endKernel, frags);
  const wrong = frags.findIndex((_, n) => words[2 * n] !== n + 5 || words[2 * n + 1] !== 5 * n);
  checkEqual([words.length, wrong].join(" "), "280000 -1", "words, and the first wrong fragment");
  checkEqual((await memory.run(adler32Kernel, [])).length, 0, "words of no fragment");
  checkEqual((await memory.run(adler32Kernel, [{ offset: 5, length: 0 }]))[0], 1, "no bytes");
}

async function gathers(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const prng = new Prng(9);
  const bytes = await landRandom(memory, prng);
  const frags = randomFrags(prng, 300, memory.sizeBytes);
  const { buffer, lengthBytes } = await memory.gather(frags);
  const expected = concat(frags.map((frag) => bytesOf(bytes, frag)));
  checkEqual(lengthBytes, expected.length, "bytes gathered");
  const other = await subject.open({ device: memory.device, sizeBytes: Math.ceil(lengthBytes / PAGE) * PAGE });
  const encoder = memory.device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, other.buffer, 0, buffer.size);
  memory.device.queue.submit([encoder.finish()]);
  const seen = await other.readback([{ offset: 0, length: lengthBytes }]);
  checkEqual(
    seen.findIndex((byte, n) => byte !== expected[n]),
    -1,
    "first wrong byte",
  );
  buffer.destroy();
  const none = await memory.gather([]);
  checkEqual(none.lengthBytes, 0, "bytes of no fragment");
  none.buffer.destroy();
}

async function readsAnywhere(subject: GpuSubject): Promise<void> {
  const memory = await subject.open({ sizeBytes: 8 * MIB });
  const prng = new Prng(10);
  const bytes = await landRandom(memory, prng);
  const frags = [
    ...randomFrags(prng, 50, memory.sizeBytes),
    { offset: 1, length: 6 * MIB + 3 },
    { offset: 7, length: 0 },
  ];
  const seen = await memory.readback(frags);
  let at = 0;
  for (const frag of frags) {
    const expected = bytesOf(bytes, frag);
    const wrong = seen.subarray(at, at + frag.length).findIndex((byte, n) => byte !== expected[n]);
    checkEqual(wrong, -1, `first wrong byte of ${frag.length} at ${frag.offset}`);
    at += frag.length;
  }
  checkEqual(memory.readbackBytes, at, "bytes read back");
}

async function batches(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const land = async (page: number): Promise<void> => {
    const landing = memory.beginLanding(page * PAGE, memory.landingBytes);
    check(landing !== null, "no staging");
    landing.bytes.fill(page + 1, 0, PAGE);
    await landing.commit(PAGE);
  };
  // 64 neighbours, then 64 that are none.
  await Promise.all(Array.from({ length: 64 }, (_, n) => land(n)));
  checkEqual(JSON.stringify(memory.stats()), '{"submits":1,"copies":1,"copiedBytes":262144,"failed":0}', "neighbours");
  await Promise.all(Array.from({ length: 64 }, (_, n) => land(2 * n)));
  const { submits, copies } = memory.stats();
  checkEqual(`${submits} ${copies}`, "2 65", "submits and copies with 64 that are no neighbours");
}

async function heldLanding(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const before = memory.beginLanding(0, PAGE)!;
  fillPattern(before.bytes, 0, PAGE, 1);
  const first = before.commit(PAGE);
  const held = memory.beginLanding(PAGE, PAGE)!;
  fillPattern(held.bytes, 0, 100, 2);
  await first;
  // Its staging was not taken away while it was written to.
  fillPattern(held.bytes, 0, PAGE, 2);
  const behind = memory.beginLanding(2 * PAGE, PAGE)!;
  fillPattern(behind.bytes, 0, PAGE, 3);
  await behind.commit(PAGE);
  await held.commit(PAGE);
  const seen = await memory.readback([{ offset: 0, length: 3 * PAGE }]);
  for (const n of [0, 1, 2]) checkEqual(findPatternMismatch(seen, n * PAGE, PAGE, n + 1), -1, `page ${n}`);
}

/** Random landings, some held over turns, some aborted: what is there in the end, and that no staging is lost. */
async function randomLandings(subject: GpuSubject): Promise<void> {
  for (let seed = 1; seed <= 8; seed++) {
    const memory = await subject.open({ landingBytes: 16384, batchBytes: 32768, batches: 3 });
    const prng = new Prng(seed);
    const model = new Uint8Array(memory.sizeBytes);
    const held: { readonly landing: DeviceLanding; readonly offset: number; readonly length: number }[] = [];
    const pending: Promise<void>[] = [];
    for (let n = 0; n < 300; n++) {
      const offset = prng.below(memory.sizeBytes / 4 - 4096) * 4;
      const length = 4 * (1 + prng.below(4096));
      const landing = memory.beginLanding(offset, length);
      if (landing !== null) held.push({ landing, offset, length: 4 * prng.below(length / 4 + 1) });
      while (held.length > prng.below(3)) {
        const [one] = held.splice(prng.below(held.length), 1);
        if (prng.below(4) === 0) one!.landing.abort();
        else {
          one!.landing.bytes.fill(n % 255, 0, one!.length);
          model.fill(n % 255, one!.offset, one!.offset + one!.length);
          pending.push(one!.landing.commit(one!.length)!);
        }
      }
      if (prng.below(10) === 0) await memory.readback([]);
      if (prng.below(20) === 0) await Promise.all(pending.splice(0));
    }
    for (const { landing } of held) landing.abort();
    const seen = await memory.readback([{ offset: 0, length: memory.sizeBytes }]);
    checkEqual(
      seen.findIndex((byte, at) => byte !== model[at]),
      -1,
      `seed ${seed}: first wrong byte`,
    );
    await Promise.all(pending);
    const all = [1, 2, 3, 4, 5, 6].map(() => memory.beginLanding(0, 16384));
    check(!all.includes(null), `seed ${seed}: staging is lost`);
    for (const landing of all) landing?.abort();
  }
}

async function badKernels(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const broken: FragKernel = { wordsPerFrag: 1, code: "@compute @workgroup_size(1) fn main() { nonsense }" };
  const frags = [{ offset: 0, length: 4 }];
  checkEqual(await codeOf(memory.run(broken, frags)), "ERR_NETMEM_GPU_KERNEL", "a kernel that does not compile");
  const elsewhere: FragKernel = { wordsPerFrag: 1, code: "@compute @workgroup_size(1) fn other() { }" };
  checkEqual(await codeOf(memory.run(elsewhere, frags)), "ERR_NETMEM_GPU_KERNEL", "a kernel without main");
  const outside = [{ offset: memory.sizeBytes - 2, length: 4 }];
  checkEqual(await codeOf(memory.run(adler32Kernel, outside)), "ERR_NETMEM_DEVICE_RANGE", "a fragment outside");
  checkEqual(await codeOf(memory.gather(outside)), "ERR_NETMEM_DEVICE_RANGE", "a gather outside");
  const { maxBufferSize, maxStorageBufferBindingSize } = memory.device.limits;
  const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
  const tooMany = Array.from({ length: Math.floor(most / MIB) + 1 }, () => ({ offset: 0, length: MIB }));
  checkEqual(await codeOf(memory.gather(tooMany)), "ERR_NETMEM_INVALID_PARAM", "more than a buffer holds");
  const wide: FragKernel = { ...endKernel, wordsPerFrag: Math.floor(most / 4) + 1 };
  checkEqual(await codeOf(memory.run(wide, frags)), "ERR_NETMEM_INVALID_PARAM", "more words than a buffer holds");
  checkEqual((await memory.run(adler32Kernel, frags))[0], adler32(new Uint8Array(4)), "afterwards");
}

async function lost(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const frags = [{ offset: 0, length: 4 }];
  const running = memory.run(adler32Kernel, frags);
  memory.device.destroy();
  checkEqual(await codeOf(running), "ERR_NETMEM_DEVICE_LOST", "a kernel under way");
  checkEqual(await codeOf(memory.run(adler32Kernel, frags)), "ERR_NETMEM_DEVICE_LOST", "a kernel afterwards");
  checkEqual(await codeOf(memory.gather(frags)), "ERR_NETMEM_DEVICE_LOST", "a gather afterwards");
}

async function lostWhileIdle(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  memory.device.destroy();
  await memory.device.lost;
  checkEqual(memory.beginLanding(0, PAGE), null, "a landing");
  checkEqual(await codeOf(memory.readback([])), "ERR_NETMEM_DEVICE_LOST", "a readback of nothing");
}

async function lostInThisTurn(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const landing = memory.beginLanding(0, PAGE)!;
  memory.device.destroy();
  checkEqual(await codeOf(landing.commit(5)!), "ERR_NETMEM_DEVICE_LOST", "a commit");
  checkEqual(memory.beginLanding(0, PAGE), null, "a landing");
  const other = await subject.open();
  other.device.destroy();
  const late = other.beginLanding(0, PAGE);
  check(late === null || (await codeOf(late.commit(5)!)) === "ERR_NETMEM_DEVICE_LOST", "a landing of the same turn");
}

/** What is behind a landing, up to the next multiple of 4, is nobody's payload. */
async function roundsUpWithZeros(subject: GpuSubject): Promise<void> {
  const memory = await subject.open({ landingBytes: PAGE, batchBytes: PAGE, batches: 2 });
  for (let n = 0; n < 4; n++) {
    const landing = memory.beginLanding(0, PAGE);
    landing?.bytes.fill(0xee);
    await landing?.commit(PAGE);
  }
  const landing = memory.beginLanding(8, PAGE - 8);
  landing?.bytes.set([1, 2, 3, 4, 5]);
  await landing?.commit(5);
  const seen = await memory.readback([{ offset: 7, length: 10 }]);
  checkEqual(seen.join(" "), "238 1 2 3 4 5 0 0 0 238", "five bytes and what is around them");
}

async function closesBehindWork(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  const running = memory.run(adler32Kernel, [{ offset: 0, length: MIB }]);
  await memory.close();
  checkEqual((await running)[0], adler32(new Uint8Array(MIB)), "what was under way");
  checkEqual(await codeOf(memory.run(adler32Kernel, [])), "ERR_NETMEM_DEVICE_CLOSED", "afterwards");
}

async function surfacesErrors(subject: GpuSubject): Promise<void> {
  const errors: string[] = [];
  const memory = await subject.open({ onError: ({ message }) => errors.push(message) });
  memory.device.createBuffer({ size: 16, usage: 0x4000 });
  await memory.readback([{ offset: 0, length: 4 }]);
  for (let n = 0; n < 100 && errors.length === 0; n++) await new Promise((resolve) => setTimeout(resolve, 10));
  checkEqual(errors.length, 1, "errors heard of");
}

async function isNotMappable(subject: GpuSubject): Promise<void> {
  const memory = await subject.open();
  memory.device.pushErrorScope("validation");
  const mapped = await codeOf(memory.buffer.mapAsync(1));
  await memory.device.popErrorScope();
  check(mapped.includes("OperationError"), `mapping the memory: ${mapped} instead of an OperationError`);
  checkEqual(memory.isolation, "api", "isolation");
}

async function tooLarge(subject: GpuSubject): Promise<void> {
  const [small, large] = [{ maxBufferSize: 8 * MIB, maxStorageBufferBindingSize: 4 * MIB }, 16 * MIB];
  const adapter = { limits: small, requestDevice: () => Promise.reject(new Error("not asked")) };
  const gpu = { requestAdapter: () => Promise.resolve(adapter) };
  checkEqual(await codeOf(subject.open({ gpu, sizeBytes: large })), "ERR_NETMEM_NO_GPU", "more than the adapter has");
  const { device } = await subject.open();
  const limited = Object.create(device, { limits: { value: small } }) as typeof device;
  const code = await codeOf(subject.open({ device: limited, sizeBytes: large }));
  checkEqual(code, "ERR_NETMEM_INVALID_PARAM", "more than the device has");
  const none = { requestAdapter: () => Promise.resolve(null) };
  checkEqual(await codeOf(subject.open({ gpu: none })), "ERR_NETMEM_NO_GPU", "no adapter");
}

/** What only this memory has. Runs in Node.js and in browsers. */
export const webgpuSuite: Suite<GpuSubject> = {
  name: "webgpu memory",
  cases: [
    { name: "a shader checksums fragments of any offset and length, and notices a byte more or less", run: checksums },
    { name: "more fragments than one dispatch has workgroups", run: manyFrags },
    { name: "gathers fragments on the device, one behind the other", run: gathers },
    { name: "reads back any bytes, and more than one part", run: readsAnywhere },
    { name: "neighbours go by one copy, a turn's landings by one submission", run: batches },
    { name: "a landing that is held open holds up nobody and loses nothing", run: heldLanding },
    { name: "random landings: the last one is there, and no staging is lost", run: randomLandings },
    { name: "bad kernels and fragments are refused, and the memory goes on", run: badKernels },
    { name: "a lost device fails what is under way and what comes", run: lost },
    { name: "a device lost while nothing is under way is noticed", run: lostWhileIdle },
    { name: "a device destroyed under a landing fails it", run: lostInThisTurn },
    { name: "a length is rounded up with zeros", run: roundsUpWithZeros },
    { name: "close waits for kernels", run: closesBehindWork },
    { name: "errors that no call got are heard of", run: surfacesErrors },
    { name: "the CPU cannot map the memory", run: isNotMappable },
    { name: "no adapter, or too small a one: a named reason", run: tooLarge },
  ],
};

import fc from "fast-check";
import { expect, test } from "vitest";
import { errnoError, openFaulty } from "./open-file.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const SIZE = 2 ** 16;
const FULL = ["ENOSPC", "EDQUOT", "EFBIG"] as const;

interface Step {
  readonly offset: number;
  readonly length: number;
  /** Of the landing: what is asked for beyond `length`. */
  readonly spare: number;
  readonly end: "commit" | "abort";
  /** The event loop turns after it. */
  readonly yields: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  offset: fc.nat(SIZE - 4096),
  length: fc.nat(3000),
  spare: fc.nat(1000),
  end: fc.constantFrom("commit", "commit", "commit", "abort"),
  yields: fc.boolean(),
});
/** What a write does: a number of bytes that it takes at most, or an error. */
const fault = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 5000 }) }, fc.constantFrom(...FULL));

async function runSteps(steps: readonly Step[], faults: readonly (number | string)[]): Promise<void> {
  const { file, memory } = openFaulty({ sizeBytes: SIZE, landingBytes: 4096, stagingBytes: 3 * 4096 });
  const left = [...faults];
  file.nextWrite = () => {
    const next = left.shift() ?? Infinity;
    return typeof next === "number" ? next : errnoError(next);
  };
  // Byte by byte: the landing that was last there, and whether it failed.
  const model = new Uint8Array(SIZE);
  const undefinedBytes = new Uint8Array(SIZE);
  const pending: Promise<void>[] = [];
  let settledInOrder = 0;
  for (const [n, { offset, length, spare, end, yields }] of steps.entries()) {
    const landing = memory.beginLanding(offset, length + spare + 1);
    if (landing !== null) {
      landing.bytes.fill(n + 1, 0, length);
      if (end === "abort") landing.abort();
      else {
        const place = pending.length;
        const check = (isGood: boolean): void => {
          expect(settledInOrder++).toBe(place);
          model.fill(n + 1, offset, offset + length);
          undefinedBytes.fill(isGood ? 0 : 1, offset, offset + length);
        };
        pending.push(
          landing.commit(length)!.then(
            () => check(true),
            () => check(false),
          ),
        );
      }
    }
    if (yields) await new Promise((resolve) => setImmediate(resolve));
  }
  const seen = await memory.readback([{ offset: 0, length: SIZE }]);
  await Promise.all(pending);
  const wrong = seen.findIndex((byte, at) => undefinedBytes[at] === 0 && byte !== model[at]);
  expect(wrong).toBe(-1);
  // Every piece of staging is back: all of it can be had at once.
  const all = [0, 1, 2].map(() => memory.beginLanding(0, 4096));
  expect(all.filter((landing) => landing === null)).toEqual([]);
  for (const landing of all) landing?.abort();
  await memory.close();
}

test(`random landings over short writes and full disks: what landed is there, in order, and no staging is lost`, async () => {
  console.log(`devmem-file: NETMEM_SEED=${seed}`);
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.array(fault, { maxLength: 40 }), runSteps), {
    seed,
    numRuns: 200,
  });
});

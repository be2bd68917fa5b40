/** `node full-disk-child.ts PATH`: lands page after page until the file takes no more; prints what became of them as JSON. */

import { isNetmemError } from "@netmem/core";
import { fillPattern, findPatternMismatch } from "@netmem/testing";
import { openFileMemory } from "../src/index.ts";

const PAGE = 4096;
const PAGES = 512;

const memory = await openFileMemory({ path: process.argv[2] ?? "", sizeBytes: PAGES * PAGE, existing: "reuse" });
const codes: Record<string, number> = {};
const landed: number[] = [];

async function land(page: number): Promise<void> {
  // Of odd lengths, so that limits fall into the middle of one.
  const length = PAGE - (page % 7) * 8;
  const landing = memory.beginLanding(page * PAGE, length);
  if (landing === null) throw new Error(`no staging for page ${page}`);
  fillPattern(landing.bytes, 0, length, page);
  try {
    await landing.commit(length);
    landed.push(page);
  } catch (error) {
    const code = isNetmemError(error) ? `${error.code} ${error.errno}` : String(error);
    codes[code] = (codes[code] ?? 0) + 1;
  }
}

for (let page = 0; page < PAGES; page += 16) {
  await Promise.all(Array.from({ length: 16 }, (_, n) => land(page + n)));
}
// There is room where something is already.
await land(0);
const bytes = await memory.readback(landed.map((page) => ({ offset: page * PAGE, length: PAGE - (page % 7) * 8 })));
let at = 0;
let wrong = 0;
for (const page of landed) {
  const length = PAGE - (page % 7) * 8;
  if (findPatternMismatch(bytes, at, length, page) !== -1) wrong++;
  at += length;
}
await memory.close();
console.log(JSON.stringify({ landed: landed.length, last: landed.at(-1), wrong, codes }));

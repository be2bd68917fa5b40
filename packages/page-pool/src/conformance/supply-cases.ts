import { IDX_MASK, isPage, type NetmemRef, returnNetmem } from "@netmem/core";
import { check, checkEqual, type SuiteCase } from "@netmem/testing";
import type { PagePool } from "../page-pool.ts";
import { ProviderStand } from "./provider-stand.ts";
import type { ProviderSubject } from "./provider-subject.ts";

function givesAllItHas(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const first = stand.takeAll(pool);
  check(first.length > 0, "the provider gave nothing");
  if (subject.capacity !== null) checkEqual(first.length, subject.capacity, "buffers given");
  checkEqual(pool.allocNetmem(), 0, "an allocation when all buffers are out");
  stand.giveMany(pool, first);
  const again = stand.takeAll(pool);
  checkEqual(again.length, first.length, "buffers given the second time");
  stand.giveMany(pool, again);
  stand.closeAndCheckHome();
}

/** Amounts at which a cache of 128, its refills of 64 and a ring of 16 do something else. */
const AMOUNTS = [1, 2, 63, 64, 65, 127, 128, 129, 192, 193];
const RING_SIZE = 16;

function fillsAndDrains(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  for (const amount of [RING_SIZE, RING_SIZE + 1, ...AMOUNTS]) {
    const pool = stand.open({ poolSize: RING_SIZE });
    for (const direct of [true, false, true]) {
      const refs = stand.take(pool, amount);
      checkEqual(refs.length, Math.min(amount, subject.capacity ?? amount), "buffers given");
      stand.giveMany(pool, refs, direct);
    }
    stand.closeAndCheckHome();
  }
}

function givesAgainWhatCameBack(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  // A ring of one: what does not fit goes back to the provider.
  const pool = stand.open({ poolSize: 1 });
  const refs = stand.takeAll(pool);
  const some = refs.slice(0, 3);
  stand.giveMany(pool, some);
  checkEqual(stand.takeAll(pool).length, some.length, "buffers given after as many came back");
  for (const ref of pool.outside(Infinity)) pool.put(ref, -1, false);
  stand.closeAndCheckHome();
}

function keepsToTheMax(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const out = new Int32Array(64);
  for (const max of [1, 2, 3, 17, 31, 32, 33, 64]) {
    const count = stand.watched.allocNetmems(pool, out, max);
    stand.verify();
    check(count > 0, `no buffer when asked for ${max}`);
    for (let k = 0; k < count; k++) stand.giveBack(pool, out[k]! as NetmemRef);
    stand.verify();
  }
  stand.closeAndCheckHome();
}

function sharesItselfOut(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const [a, b] = [stand.open({ poolSize: 4 }), stand.open({ poolSize: 4 })];
  const held: (readonly [PagePool, NetmemRef])[] = [];
  for (let round = 0; round < 8; round++) {
    for (const pool of [a, b]) for (const ref of stand.take(pool, 20)) held.push([pool, ref]);
    for (const [pool, ref] of held.splice(0, 25)) pool.put(ref, -1, false);
  }
  const indices = held.map(([, ref]) => (ref >>> 1) & IDX_MASK);
  checkEqual(new Set(indices).size, held.length, "different buffers");
  for (const [, ref] of held) returnNetmem(stand.host, ref);
  stand.closeAndCheckHome();
}

function ownsWhatItGave(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const { host } = stand;
  const stranger = host.pages.allocPages(0);
  const area = host.areas.add({ name: "stranger", count: 1, pageShift: host.pageShift });
  const pool = stand.open();
  const refs = stand.take(pool, 70);
  for (const ref of refs) check(subject.provider.owns(ref), "a buffer that is out is not owned");
  check(stranger === 0 || !subject.provider.owns(stranger), "a page that the provider never had is owned");
  check(!subject.provider.owns(host.areas.refAt(area, 0)), "a net_iov that the provider never had is owned");
  host.areas.remove(area);
  if (stranger !== 0) host.pages.freePage(stranger);
  stand.giveMany(pool, refs);
  stand.closeAndCheckHome();
}

function outlivesExhaustedMemory(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const { pages } = stand.host;
  const pool = stand.open({ poolSize: 1 });
  const before = stand.take(pool, 5);
  const hoard: ReturnType<typeof pages.allocPages>[] = [];
  for (let page = pages.allocPages(0); page !== 0; page = pages.allocPages(0)) hoard.push(page);
  const during = stand.takeAll(pool);
  checkEqual(pool.allocNetmem(), 0, "an allocation without memory");
  for (const page of hoard) if (page !== 0) pages.freePage(page);
  stand.giveMany(pool, [...before, ...during]);
  const after = stand.take(pool, 5);
  checkEqual(after.length, before.length, "buffers given once memory is back");
  stand.giveMany(pool, after);
  stand.closeAndCheckHome();
}

function mapsWhatItGives(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const refs = stand.takeAll(pool);
  const { dma } = stand.host;
  if (dma !== null && subject.mapsBuffers) {
    const addresses = refs.map((ref) => pool.getDmaAddr(ref));
    checkEqual(new Set(addresses).size, refs.length, "different DMA addresses");
    const offsets = Int32Array.from(addresses);
    dma.translateMany(offsets, offsets.length, pool.getDmaDir());
    for (const [k, ref] of refs.entries()) {
      check(offsets[k] !== -1, "the device faults at a buffer");
      if (isPage(ref) && !dma.needsSync) checkEqual(offsets[k], stand.host.offsetOf(ref), "where the device writes");
    }
  }
  stand.giveMany(pool, refs);
  stand.closeAndCheckHome();
}

/** What comes out of a provider, and how much. */
export const supplyCases: readonly SuiteCase<ProviderSubject>[] = [
  { name: "gives all it has, then 0, and all of it again", run: givesAllItHas },
  { name: "fills and drains a pool by amounts around its cache and ring", run: fillsAndDrains },
  { name: "gives again what came back", run: givesAgainWhatCameBack },
  { name: "gives no more than it is asked for", run: keepsToTheMax },
  { name: "gives no buffer to two pools", run: sharesItselfOut },
  { name: "owns what it gave, and nothing else", run: ownsWhatItGave },
  {
    name: "gives what it can when the host's memory is exhausted, and goes on afterwards",
    run: outlivesExhaustedMemory,
  },
  { name: "maps every buffer for the device", run: mapsWhatItGives },
];

import { getNetmem, idxOf, isNetmemError, isPage, putNetmem, type RxQueueInfo } from "@netmem/core";
import { check, checkEqual, checkThrows, type SuiteCase } from "@netmem/testing";
import { ProviderStand } from "./provider-stand.ts";
import type { ProviderSubject } from "./provider-subject.ts";

function acceptsAndDismisses(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  for (let round = 0; round < 3; round++) {
    const pools = [stand.open(), stand.open(), stand.open()];
    for (const pool of pools) stand.giveMany(pool, stand.take(pool, 10));
    checkEqual(stand.watched.liveCount, 3, "pools on the provider");
    stand.closeAndCheckHome();
  }
  // One that never allocated.
  stand.open();
  stand.closeAndCheckHome();
}

function refusesWithACode(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  for (const { params, code } of subject.refused ?? []) {
    const error = checkThrows(() => stand.open(params), code, `a pool with ${JSON.stringify(params)}`);
    check(isNetmemError(error), "the refusal is no NetmemError");
    checkEqual(stand.watched.liveCount, 0, "pools on the provider after a refusal");
  }
  stand.closeAndCheckHome();
}

function waitsForTheLastBuffer(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const old = stand.open();
  const refs = stand.take(old, 3);
  old.destroy();
  subject.passTime(5000);
  check(!old.freed && !stand.watched.isDismissed(old), "the provider lost a pool that has buffers outside");
  const next = stand.open();
  stand.giveMany(next, stand.take(next, 3));
  const [last, ...others] = refs;
  stand.giveMany(old, others);
  subject.passTime(5000);
  check(!stand.watched.isDismissed(old), "the provider was dismissed before the last buffer came home");
  if (last !== undefined) stand.giveMany(old, [last]);
  stand.closeAndCheckHome();
}

function leavesHeldPagesAlone(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const { host } = stand;
  const pool = stand.open({ poolSize: 1 });
  const [page, ...others] = stand.take(pool, 4);
  stand.giveMany(pool, others);
  if (page === undefined || !isPage(page)) {
    if (page !== undefined) stand.giveMany(pool, [page]);
    return stand.closeAndCheckHome();
  }
  stand.mark(page, 77);
  getNetmem(host, page);
  stand.giveMany(pool, [page]);
  const rest = stand.takeAll(pool);
  for (const ref of rest) stand.mark(ref, 1);
  stand.checkMark(page, 77);
  check(!rest.some((ref) => idxOf(ref) === idxOf(page)), "a page that somebody holds was given out");
  stand.giveMany(pool, rest);
  stand.close();
  stand.checkMark(page, 77);
  putNetmem(host, page);
  // What a provider had to leave behind comes home with its next pool.
  stand.open();
  stand.closeAndCheckHome();
}

function takesHeldPagesBack(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const { host } = stand;
  const pool = stand.open({ poolSize: 1 });
  const refs = stand.takeAll(pool);
  const pages = refs.filter(isPage);
  for (const page of pages) getNetmem(host, page);
  stand.giveMany(pool, refs);
  for (const page of pages) putNetmem(host, page);
  const again = stand.takeAll(pool);
  checkEqual(again.length, refs.length, "buffers given once nobody else holds them");
  stand.giveMany(pool, again);
  stand.closeAndCheckHome();
}

function losesItsQueue(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const refs = stand.take(pool, 5);
  stand.watched.uninstall(stand.rxq);
  stand.giveMany(pool, refs);
  stand.closeAndCheckHome();
}

function describesItself(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const queues: readonly (RxQueueInfo | null)[] = [stand.rxq, null];
  let info: Record<string, unknown> = {};
  for (const rxq of queues) {
    info = {};
    stand.watched.fillInfo({ set: (name, value) => setOnce(info, name, value) }, rxq);
  }
  check(subject.provider.name.length > 0, "the provider has no name");
  checkEqual(pool.describe().info, info, "what the pool's record shows of the provider");
  stand.closeAndCheckHome();
}

function setOnce(info: Record<string, unknown>, name: string, value: unknown): void {
  check(name.length > 0 && !Object.hasOwn(info, name), `the attribute "${name}" is set twice, or has no name`);
  check(typeof value === "string" || Number.isFinite(value), `the attribute "${name}" is ${String(value)}`);
  info[name] = value;
}

/** From `init` to `destroy`, and what others hold meanwhile. */
export const lifeCases: readonly SuiteCase<ProviderSubject>[] = [
  { name: "accepts pools and lets them go, with everything back", run: acceptsAndDismisses },
  { name: "refuses what it cannot serve with a coded error, and takes nothing", run: refusesWithACode },
  { name: "keeps a destroyed pool until its last buffer is home, and serves others", run: waitsForTheLastBuffer },
  { name: "leaves pages alone that somebody still holds", run: leavesHeldPagesAlone },
  { name: "takes pages back once nobody else holds them", run: takesHeldPagesBack },
  { name: "forgets its queue and still takes buffers home", run: losesItsQueue },
  { name: "describes itself in strings and numbers", run: describesItself },
];

import { asPageRef, type Host, MAX_ORDER } from "@netmem/core";
import type { Prng } from "@netmem/testing";

/** Pages that a thread holds at most. */
const MAX_HELD = 250;

/**
 * Allocates and frees pages and blocks at random, and passes them on: what a thread puts into a slot of the mailbox, it
 * no longer holds. Every page is stamped while it is held, so that one which is handed out twice is noticed. At the end
 * it holds nothing.
 */
export function churn(host: Host, mailbox: Int32Array, prng: Prng, rounds: number): void {
  const refs = new Int32Array(100);
  const held: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const dice = prng.below(16);
    if (dice < 5) adopt(host, held, host.pages.allocPages(0));
    else if (dice === 5) adopt(host, held, host.pages.allocPages(prng.below(MAX_ORDER)));
    else if (dice === 6) {
      const got = host.pages.allocBulk(refs, prng.below(refs.length));
      for (const ref of refs.subarray(0, got)) adopt(host, held, ref);
    } else if (dice < 10) {
      const ref = held.length === 0 ? 0 : release(host, held, prng.below(held.length));
      adopt(host, held, Atomics.exchange(mailbox, prng.below(mailbox.length), ref));
    } else drop(host, held, prng.below(held.length + 1));
    while (held.length > MAX_HELD) drop(host, held, 0);
  }
  while (held.length > 0) host.pages.freePage(asPageRef(release(host, held, 0)));
}

function adopt(host: Host, held: number[], ref: number): void {
  if (ref === 0) return;
  held.push(ref);
  stamp(host, ref, 0, host.workerId + 1);
}

function drop(host: Host, held: number[], at: number): void {
  if (at < held.length) host.pages.freePage(asPageRef(release(host, held, at)));
}

function release(host: Host, held: number[], at: number): number {
  const ref = held[at]!;
  held[at] = held[held.length - 1]!;
  held.pop();
  stamp(host, ref, host.workerId + 1, 0);
  return ref;
}

/** The first word of the page says who holds it. */
function stamp(host: Host, ref: number, from: number, to: number): void {
  const at = host.offsetOf(asPageRef(ref)) >> 2;
  const found = Atomics.compareExchange(host.i32, at, from, to);
  if (found !== from) throw new Error(`worker ${host.workerId}: page ${ref} is held by ${found - 1}, not ${from - 1}`);
}

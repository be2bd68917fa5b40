import { Prng } from "./prng.ts";

/** Stands for all points together: arm it to count calls over every point, ask it for the totals. */
export const ANY_POINT = "*";

const MAX_RUNS = 100_000;

/** Whether the call with this number (the first is 1) fails. */
type FaultRule = (callNumber: number) => boolean;

const never: FaultRule = () => false;
const always: FaultRule = () => true;

interface FaultPoint {
  rule: FaultRule;
  maxBulk: number;
  calls: number;
  faults: number;
}

/**
 * Decides, at points that the code under test names, which calls fail.
 *
 * Code asks {@link FaultInjector.shouldFail} (or {@link FaultInjector.capBulk}) where something can go wrong; the test
 * arms those points by name. A point nobody armed never fails, but its calls are counted. Arming a point again replaces
 * its mode and keeps its counts.
 */
export class FaultInjector {
  readonly #prng: Prng;
  readonly #points = new Map<string, FaultPoint>();

  /** @param prng feeds {@link FaultInjector.failWithProbability}; the default has seed 0. */
  constructor(prng: Prng = new Prng(0)) {
    this.#prng = prng;
  }

  /** Disarms a point. A cap set by {@link FaultInjector.limitBulk} is lifted too. */
  failNever(point: string): void {
    const disarmed = this.#pointOf(point);
    disarmed.rule = never;
    disarmed.maxBulk = Infinity;
  }

  /** Fails every call. */
  failAlways(point: string): void {
    this.#pointOf(point).rule = always;
  }

  /** Fails one call: the `n`-th at this point since the injector was made (the first is 1). */
  failNth(point: string, n: number): void {
    checkCount("failNth", n);
    this.#pointOf(point).rule = (callNumber) => callNumber === n;
  }

  /** Fails the calls k, 2k, 3k, ... */
  failEvery(point: string, k: number): void {
    checkCount("failEvery", k);
    this.#pointOf(point).rule = (callNumber) => callNumber % k === 0;
  }

  /** Fails each call with probability `p` (0..1), drawn from the generator given to the constructor. */
  failWithProbability(point: string, p: number): void {
    if (!(p >= 0 && p <= 1)) throw new RangeError(`FaultInjector.failWithProbability: p must be 0..1, got ${p}`);
    this.#pointOf(point).rule = () => this.#prng.bool(p);
  }

  /** Makes bulk calls at this point fall short: {@link FaultInjector.capBulk} grants at most `maxBulk` (0 or more). */
  limitBulk(point: string, maxBulk: number): void {
    if (!(maxBulk >= 0)) throw new RangeError(`FaultInjector.limitBulk: maxBulk must be 0 or more, got ${maxBulk}`);
    this.#pointOf(point).maxBulk = maxBulk;
  }

  /** Counts a call and says whether it must fail. */
  shouldFail(point: string): boolean {
    const own = this.#pointOf(point);
    const any = this.#pointOf(ANY_POINT);
    // Both decide, always, so that arming one does not change the draws of the other.
    const ownFails = own.rule(++own.calls);
    const anyFails = any.rule(++any.calls);
    if (!ownFails && !anyFails) return false;
    own.faults++;
    any.faults++;
    return true;
  }

  /** Counts a call for `count` things and says how many to grant: all, the cap, or 0 where the whole call fails. */
  capBulk(point: string, count: number): number {
    if (this.shouldFail(point)) return 0;
    const own = this.#pointOf(point);
    const any = this.#pointOf(ANY_POINT);
    const granted = Math.min(count, own.maxBulk, any.maxBulk);
    if (granted < count) {
      own.faults++;
      any.faults++;
    }
    return granted;
  }

  /** Calls at a point so far, or at all points together ({@link ANY_POINT}, the default). */
  callCount(point: string = ANY_POINT): number {
    return this.#points.get(point)?.calls ?? 0;
  }

  /** Faults injected so far, short bulks included. */
  faultCount(point: string = ANY_POINT): number {
    return this.#points.get(point)?.faults ?? 0;
  }

  #pointOf(name: string): FaultPoint {
    let point = this.#points.get(name);
    if (point === undefined) {
      point = { rule: never, maxBulk: Infinity, calls: 0, faults: 0 };
      this.#points.set(name, point);
    }
    return point;
  }
}

/**
 * Tries every place where `run` can fail: runs it with the 1st call at `point` failing, then the 2nd, and so on, each
 * time with a fresh injector, until a run in which nothing was injected. Returns the number of runs, that last one
 * included. `point` defaults to all points together.
 *
 * `run` handles the errors it expects; one that it lets out is rethrown with the number of the failing call, the
 * original as `cause`. Throws Error after 100,000 runs.
 */
export function forEveryNthFailure(run: (injector: FaultInjector) => void, point: string = ANY_POINT): number {
  for (let n = 1; n <= MAX_RUNS; n++) {
    const injector = new FaultInjector();
    injector.failNth(point, n);
    try {
      run(injector);
    } catch (cause) {
      throw new Error(`with call ${n} at "${point}" failing: ${String(cause)}`, { cause });
    }
    if (injector.faultCount(point) === 0) return n;
  }
  throw new Error(`forEveryNthFailure: still injecting at "${point}" after ${MAX_RUNS} runs`);
}

function checkCount(method: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new RangeError(`FaultInjector.${method}: the count must be an integer of 1 or more, got ${count}`);
  }
}

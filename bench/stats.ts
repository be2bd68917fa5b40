/** Medians, percentiles and bars. */

import type { Bar } from "./suite.ts";

export interface Summary {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** The value below which `fraction` of the samples lie, interpolated between neighbours. */
export function quantile(samples: readonly number[], fraction: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * fraction;
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) throw new Error("no samples");
  return low + (high - low) * (at - Math.floor(at));
}

export function summarize(samples: readonly number[]): Summary {
  return { median: quantile(samples, 0.5), p10: quantile(samples, 0.1), p90: quantile(samples, 0.9) };
}

/**
 * Where the median of whatever made these values lies, with a probability of 95 % or a little more: two of the values,
 * by their order alone. With fewer than six the whole range, which promises less.
 */
export function medianInterval(values: readonly number[]): { readonly low: number; readonly high: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const n = sorted.length;
  let skipped = 0;
  let tail = 0.5 ** n;
  for (let chosen = tail; skipped < n / 2 - 1; skipped++) {
    chosen = (chosen * (n - skipped)) / (skipped + 1);
    tail += chosen;
    if (tail > 0.025) break;
  }
  const low = sorted[skipped];
  const high = sorted[n - 1 - skipped];
  if (low === undefined || high === undefined) throw new Error("no values");
  return { low, high };
}

export function meets(value: number, bar: Bar): boolean {
  const limit = Number(bar.slice(2));
  return bar.startsWith("<=") ? value <= limit : value >= limit;
}

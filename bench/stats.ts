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

export function meets(value: number, bar: Bar): boolean {
  const limit = Number(bar.slice(2));
  return bar.startsWith("<=") ? value <= limit : value >= limit;
}

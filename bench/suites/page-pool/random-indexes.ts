/**
 * Indexes below `bound`, drawn at random but the same in every run: which held buffer goes home next. Walking a
 * permutation instead would always pick the oldest buffer, the worst case of any allocator that searches a list.
 */
export function randomIndexes(bound: number, count: number): Int32Array {
  let seed = 1;
  return Int32Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return (seed >>> 8) % bound;
  });
}

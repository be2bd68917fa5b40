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

/** Every index below `count` once, in random order but the same in every run. */
export function randomOrder(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const draws = randomIndexes(count, count);
  for (let i = count - 1; i > 0; i--) {
    const other = draws[i]! % (i + 1);
    const held = order[i]!;
    order[i] = order[other]!;
    order[other] = held;
  }
  return order;
}

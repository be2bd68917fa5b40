/** Exchanges the MAC addresses at byte `at`, which is even, by 16-bit words. */
export function swapMacs(u16: Uint16Array, at: number): void {
  const w = at >> 1;
  for (let n = w; n < w + 3; n++) {
    const kept = u16[n]!;
    u16[n] = u16[n + 3]!;
    u16[n + 3] = kept;
  }
}

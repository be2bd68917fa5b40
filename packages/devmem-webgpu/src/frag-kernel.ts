/**
 * What a GPU does with fragments of a memory: one workgroup for each, in WGSL behind {@link FRAG_KERNEL_PRELUDE}, with the
 * entry point `main`.
 */
export interface FragKernel {
  readonly code: string;
  /** Words of `out` for each fragment, at `words * fragment`; they start as zeros. */
  readonly wordsPerFrag: number;
}

/**
 * What stands before a kernel's code: `memory`, `frags` and `out`, `byteAt(position)`, and `fragOf(group)`, the number of the
 * fragment of a workgroup. Workgroups without one (`arrayLength(&frags)` and above) return at once.
 */
export const FRAG_KERNEL_PRELUDE: string = `
struct Frag { offset: u32, length: u32, at: u32 }
@group(0) @binding(0) var<storage, read> memory: array<u32>;
@group(0) @binding(1) var<storage, read> frags: array<Frag>;
@group(0) @binding(2) var<storage, read_write> out: array<atomic<u32>>;
fn byteAt(position: u32) -> u32 { return (memory[position >> 2u] >> ((position & 3u) * 8u)) & 255u; }
fn fragOf(group: vec3u) -> u32 { return group.y * 65535u + group.x; }
`;

/**
 * The Adler-32 checksum (RFC 1950) of each fragment. It notices a byte too many or too few, and bytes in another order;
 * {@link adler32} is the same on the CPU.
 */
export const adler32Kernel: FragKernel = {
  wordsPerFrag: 1,
  code: `
const MOD = 65521u;
var<workgroup> sums: array<u32, 64>;
var<workgroup> weighted: array<u32, 64>;
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = fragOf(group);
  if (n >= arrayLength(&frags)) { return; }
  let frag = frags[n];
  var sum = 0u;
  var weight = 0u;
  for (var i = lane; i < frag.length; i += 64u) {
    let byte = byteAt(frag.offset + i);
    sum = (sum + byte) % MOD;
    weight = (weight + ((frag.length - i) % MOD) * byte) % MOD;
  }
  sums[lane] = sum;
  weighted[lane] = weight;
  workgroupBarrier();
  if (lane > 0u) { return; }
  sum = 1u;
  weight = frag.length % MOD;
  for (var i = 0u; i < 64u; i++) {
    sum = (sum + sums[i]) % MOD;
    weight = (weight + weighted[i]) % MOD;
  }
  atomicStore(&out[n], (weight << 16u) | sum);
}`,
};

/** Copies each fragment to byte `at` of `out`, one behind the other. */
export const gatherKernel: FragKernel = {
  wordsPerFrag: 0,
  code: `
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = fragOf(group);
  if (n >= arrayLength(&frags)) { return; }
  let frag = frags[n];
  let end = frag.at + frag.length;
  // The first and the last word may be another fragment's too.
  for (var word = frag.at / 4u + lane; word * 4u < end; word += 64u) {
    var value = 0u;
    for (var k = 0u; k < 4u; k++) {
      let position = word * 4u + k;
      if (position >= frag.at && position < end) {
        value |= byteAt(frag.offset + position - frag.at) << (k * 8u);
      }
    }
    atomicOr(&out[word], value);
  }
}`,
};

/** Adler-32 of bytes that the CPU has, to compare with. */
export function adler32(bytes: Uint8Array): number {
  let sum = 1;
  let weighted = 0;
  for (const byte of bytes) {
    sum = (sum + byte) % 65521;
    weighted = (weighted + sum) % 65521;
  }
  return ((weighted << 16) | sum) >>> 0;
}

import type { Host, MemOwner, NetIovArea } from "@netmem/core";
import type { ChunkGeometry } from "./chunk-geometry.ts";

/** What a pool takes from its host and gives back at its end. */
export interface PoolHome {
  readonly ownerId: number;
  readonly area: NetIovArea;
  readonly chunkCount: number;
  readonly offsetsAt: number;
  readonly headsAt: number;
  readonly spillAt: number;
  users: number;
  isDead: boolean;
  readonly onGone: (() => void)[];
}

const HEAD_WORDS = 4;

/** Claims owner record, area and arena words; undoes everything when one of them is not to be had. */
export function claimPool(host: Host, geometry: ChunkGeometry, owner: MemOwner): PoolHome {
  const { chunkCount } = geometry;
  const undo: (() => void)[] = [];
  const words = (count: number): number => {
    const at = host.heap.allocWords(count);
    undo.push(() => host.heap.freeWords(at, count));
    return at;
  };
  try {
    const offsetsAt = words(chunkCount);
    const headsAt = words(chunkCount * HEAD_WORDS);
    const spillAt = words(chunkCount);
    const area = addArea(host, geometry, owner.name, offsetsAt);
    undo.push(() => host.areas.remove(area));
    const ownerId = host.owners.claim(owner);
    const onGone: (() => void)[] = [];
    return { ownerId, area, chunkCount, offsetsAt, headsAt, spillAt, users: 1, isDead: false, onGone };
  } catch (error) {
    for (const step of undo.toReversed()) step();
    throw error;
  }
}

/** Gives everything back and tells who waits. */
export function releaseHome(host: Host, home: PoolHome): void {
  host.owners.release(home.ownerId);
  host.areas.remove(home.area);
  host.heap.freeWords(home.spillAt, home.chunkCount);
  host.heap.freeWords(home.headsAt, home.chunkCount * HEAD_WORDS);
  host.heap.freeWords(home.offsetsAt, home.chunkCount);
  for (const done of home.onGone.splice(0)) done();
}

function addArea(host: Host, geometry: ChunkGeometry, name: string, offsetsAt: number): NetIovArea {
  const { chunkCount, chunkSizeBytes, offset } = geometry;
  for (let n = 0; n < chunkCount; n++) host.i32[offsetsAt + n] = offset + geometry.startOf(n);
  return host.areas.add({
    name,
    count: chunkCount,
    pageShift: geometry.shift,
    baseOffset: offset,
    ...(geometry.isAligned ? {} : { scattered: { offsetsAt, bufferBytes: chunkSizeBytes } }),
  });
}

import { type LockingHost, lockArena, unlockArena } from "./arena-lock.ts";
import { keptText, readText, writeText } from "./arena-text.ts";

/** Numbers for names: the same name gets the same number. */
export interface NameTable {
  /** Number of a name, a new one when it has none; -1 when the table is full. */
  numberOf(name: string): number;
  /** Number of a name that has one, -1 otherwise. */
  find(name: string): number;
  nameOf(number: number): string | null;
  /** Names in the table. */
  readonly count: number;
}

/** A table of one thread. */
export class LocalNames implements NameTable {
  private readonly names: string[];
  private readonly max: number;

  constructor(first: readonly string[], max: number) {
    this.names = [...first];
    this.max = max;
  }

  get count(): number {
    return this.names.length;
  }

  find(name: string): number {
    return this.names.indexOf(name);
  }

  numberOf(name: string): number {
    const known = this.names.indexOf(name);
    if (known >= 0) return known;
    return this.names.length < this.max ? this.names.push(name) - 1 : -1;
  }

  nameOf(number: number): string | null {
    return this.names[number] ?? null;
  }
}

/** Where a table lies in the arena. */
export interface NamePlace {
  /** Word offset of the first entry. */
  readonly at: number;
  /** Entries. */
  readonly max: number;
  /** Words of an entry: length of the name, then its first characters. */
  readonly words: number;
  /** Word offset of the lock. */
  readonly lockAt: number;
}

/**
 * A table in the arena, the same for every thread of a host: whoever comes first gives a name its number. Names that
 * agree in length and in as many characters as an entry holds are the same. Control path.
 */
export class SharedNames implements NameTable {
  private readonly host: LockingHost;
  private readonly place: NamePlace;

  /** Entries that are there already are kept; of `first`, those beyond them are added. */
  constructor(host: LockingHost, place: NamePlace, first: readonly string[]) {
    this.host = host;
    this.place = place;
    for (const name of first) this.numberOf(name);
  }

  get count(): number {
    const { max } = this.place;
    let n = 0;
    while (n < max && this.lengthOf(n) !== 0) n++;
    return n;
  }

  find(name: string): number {
    const wanted = keptText(this.place.words, name);
    const count = this.count;
    for (let n = 0; n < count; n++) if (this.lengthOf(n) === name.length && this.nameOf(n) === wanted) return n;
    return -1;
  }

  numberOf(name: string): number {
    const known = this.find(name);
    if (known >= 0 || name === "") return known;
    const { lockAt } = this.place;
    lockArena(this.host, lockAt);
    try {
      return this.append(name);
    } finally {
      unlockArena(this.host, lockAt);
    }
  }

  nameOf(number: number): string | null {
    const { max, words } = this.place;
    if (!Number.isInteger(number) || number < 0 || number >= max || this.lengthOf(number) === 0) return null;
    return readText(this.host.i32, this.entryAt(number), words);
  }

  /** Under the lock. The length is written last: whoever reads it finds the characters. */
  private append(name: string): number {
    const known = this.find(name);
    if (known >= 0) return known;
    const number = this.count;
    const { max, words } = this.place;
    if (number === max) return -1;
    const at = this.entryAt(number);
    const { i32 } = this.host;
    const entry = new Int32Array(words);
    writeText(entry, 0, words, name);
    i32.set(entry.subarray(1), at + 1);
    Atomics.store(i32, at, entry[0]!);
    return number;
  }

  private lengthOf(number: number): number {
    // Partner: the store of append.
    return Atomics.load(this.host.i32, this.entryAt(number));
  }

  private entryAt(number: number): number {
    return this.place.at + number * this.place.words;
  }
}

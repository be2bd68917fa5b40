import { type InterleaveProgram } from "./program.ts";

type Named = Pick<InterleaveProgram<unknown>, "words" | "names" | "forbidRaces">;

/** What the words are called in reports, and in which of them a data race is a failure. */
export class WordNames {
  readonly #labels: string[] = [];
  readonly #forbidden: boolean[] = [];

  constructor({ words, names = {}, forbidRaces = false }: Named) {
    for (let at = 0; at < words; at++) {
      this.#labels.push(`word ${at}`);
      this.#forbidden.push(forbidRaces === true);
    }
    for (const [name, place] of Object.entries(names)) {
      const [first, count] = typeof place === "number" ? [place, 1] : place;
      for (let k = 0; k < count; k++) {
        this.#labels[first + k] = typeof place === "number" ? name : `${name}[${k}]`;
        if (typeof forbidRaces === "object") this.#forbidden[first + k] ||= forbidRaces.includes(name);
      }
    }
  }

  label(at: number): string {
    return this.#labels[at] ?? `word ${at}`;
  }

  isRaceForbidden(at: number): boolean {
    return this.#forbidden[at] === true;
  }
}

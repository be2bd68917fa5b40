/** A value that another thread replaced. */
export interface Overwritten {
  readonly at: number;
  readonly old: number;
}

/**
 * What a thread may still read although it is gone: loads between two acquires may be satisfied in any order, so a later
 * one may be as old as the last acquire. Never changed in place.
 */
export interface LoadWindow {
  /** Replaced since the thread's last acquire, oldest first. */
  readonly gone: readonly Overwritten[];
  /** How much was gone at the latest plain load: only what went before that can be told from loading earlier. */
  readonly lastLoad: number;
  /** How much was gone when the thread's last atomic store became visible: its atomic loads are not older than that. */
  readonly lastAtomic: number;
}

export const EMPTY_WINDOW: LoadWindow = { gone: [], lastLoad: 0, lastAtomic: 0 };

export function withOverwritten(window: LoadWindow, at: number, old: number): LoadWindow {
  return { ...window, gone: [...window.gone, { at, old }] };
}

/** Positions in `gone` of the values of `at` that a load may return instead of the present one. */
export function staleChoices({ gone, lastLoad, lastAtomic }: LoadWindow, at: number, atomic: boolean): number[] {
  const choices: number[] = [];
  for (let k = atomic ? lastAtomic : 0; k < lastLoad; k++) if (gone[k]?.at === at) choices.push(k);
  return choices;
}

/** Forgets what was in `at` before position `end`: a thread reads or writes a word in one order (coherence). */
function forgetBefore(window: LoadWindow, at: number, end: number): LoadWindow {
  const isForgotten = (entry: Overwritten, k: number): boolean => entry.at === at && k < end;
  const countUpTo = (limit: number): number =>
    limit - window.gone.slice(0, limit).filter((entry, k) => isForgotten(entry, k)).length;
  return {
    gone: window.gone.filter((entry, k) => !isForgotten(entry, k)),
    lastLoad: countUpTo(window.lastLoad),
    lastAtomic: countUpTo(window.lastAtomic),
  };
}

/** After a plain load of the present value, or of the one at `position`. */
export function afterPlainLoad(window: LoadWindow, at: number, position: number | undefined): LoadWindow {
  if (position !== undefined) return forgetBefore(window, at, position);
  const rest = forgetBefore(window, at, window.gone.length);
  return { ...rest, lastLoad: rest.gone.length };
}

/** After an atomic load of the present value, or of the one at `position`: nothing later is older than that. */
export function afterAtomicLoad({ gone, lastLoad }: LoadWindow, position: number | undefined): LoadWindow {
  if (position === undefined) return EMPTY_WINDOW;
  return { gone: gone.slice(position), lastLoad: lastLoad - position, lastAtomic: 0 };
}

/** After an own write to `at` became visible. */
export function afterOwnWrite(window: LoadWindow, at: number, atomic: boolean): LoadWindow {
  const rest = forgetBefore(window, at, window.gone.length);
  return atomic ? { ...rest, lastAtomic: rest.gone.length } : rest;
}

import { plural, thousands } from '../../core/index.js';
import type { Outlet } from '../../stream/index.js';

/** What one far side's log says: that it is gone, that it is back and what that cost, and that its disk is full; each once. */
export interface Telling {
  /**
   * Looks at a state that may have changed.
   * @param counts answers thrown away since the loop began, and on disk now
   * @returns whether the far side has just come back
   */
  change(state: ReturnType<Outlet['state']>, counts: { dropped: number; kept: number }): boolean;
}

/** @param shown the far side, without credentials */
export function createTelling(shown: string, onEvent: (text: string) => void): Telling {
  /** Thrown away before it went; null while it takes answers. */
  let gone: number | null = null;
  let diskTold = false;
  return {
    change({ state, error, spooled }, { dropped, kept }) {
      const full = spooled?.error;
      if (full !== undefined && !diskTold) onEvent(`${shown}: ${full}; memory holds what it can`);
      diskTold = full !== undefined;
      if (state === 'failing' && gone === null) {
        gone = dropped;
        onEvent(`${shown} does not take answers, they are kept: ${error ?? 'no reason given'}`);
      }
      if (state !== 'connected' || gone === null) return false;
      const lost = dropped - gone;
      const missing = lost === 0 ? '' : `; ${plural(lost, 'answer')} thrown away meanwhile`;
      onEvent(`${shown} takes answers again, ${thousands(kept)} on disk${missing}`);
      gone = null;
      return true;
    },
  };
}

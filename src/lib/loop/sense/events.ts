import type { Clock } from '../../core/index.js';
import type { SensingEvent } from './types.js';

export type Tell = (kind: SensingEvent['kind'], text: string) => void;

/** At most one event of a kind in so long: what goes wrong with each sample is told once. */
const quietMs = 60_000;
/** Whoever goes and comes is told each time. */
const always: ReadonlySet<SensingEvent['kind']> = new Set(['lost', 'found', 'resampling', 'caution']);

/** Tells of what happens, one line each; of what goes on happening once a minute, with the number of those left out. */
export function createTeller(
  clock: Clock,
  monotonicMs: () => number,
  onEvent: ((event: SensingEvent) => void) | undefined,
): Tell {
  const told = new Map<SensingEvent['kind'], { at: number; more: number }>();
  return (kind, text) => {
    const now = monotonicMs();
    const before = told.get(kind);
    if (before && now - before.at < quietMs && !always.has(kind)) {
      before.more++;
      return;
    }
    const more = before && before.more > 0 ? ` (and ${before.more} more of the kind in between)` : '';
    told.set(kind, { at: now, more: 0 });
    onEvent?.({ t: clock.now(), kind, text: `${text}${more}` });
  };
}

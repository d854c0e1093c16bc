import type { Clock } from '../../core/index.js';
import type { LoopStatus } from '../status.js';
import type { Answer } from '../types.js';
import { createHistogram, type Histogram } from './histogram.js';

/** Happenings that a status tells, the newest. */
const keptEvents = 50;

/** What a loop has counted so far. Its size does not depend on how long it runs. */
export interface Tally {
  windows: number;
  predictions: number;
  changes: number;
  readonly classes: Map<string, number>;
  readonly latency: Histogram;
  readonly events: LoopStatus['events'];
  last: Answer | null;
  /** When the last samples came, ms since 1970. */
  lastSampleAt: number | null;
  /** @param latencyMs until the outputs had it */
  answered(answer: Answer, latencyMs: number): void;
  event(text: string): void;
}

/** @param clock what the times of events are taken from */
export function createTally(clock: Clock): Tally {
  const tally: Tally = {
    windows: 0,
    predictions: 0,
    changes: 0,
    classes: new Map(),
    latency: createHistogram(),
    events: [],
    last: null,
    lastSampleAt: null,
    answered(answer, latencyMs) {
      const { voted, label, changed } = answer;
      tally.windows++;
      tally.last = answer;
      tally.latency.add(latencyMs);
      if (voted !== null) tally.classes.set(voted, (tally.classes.get(voted) ?? 0) + 1);
      if (voted !== null || label === null) tally.predictions++;
      if (voted !== null && changed) tally.changes++;
    },
    event(text) {
      tally.events.push({ t: clock.now(), text });
      if (tally.events.length > keptEvents) tally.events.shift();
    },
  };
  return tally;
}

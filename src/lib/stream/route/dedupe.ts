import { dedupeHeader, type Sink } from '../message.js';
import type { Flight } from './flight.js';

/** Dedupe keys that were sent to one sink within a window of time. */
export interface Seen {
  /**
   * True when the key is new: it is this flight's from now on. Otherwise the flight is done when the first of this key has arrived, which
   * may be at once.
   */
  claim(key: string, flight: Flight): boolean;
  /** What had this key is safe at the sink. */
  arrived(key: string): void;
  /** Takes over what a sink has already. @throws what reading throws */
  seed(sink: Sink): Promise<void>;
  readonly size: number;
}

interface Entry {
  /** ms since 1970. */
  time: number;
  /** Those that came while the first was on its way; undefined once it has arrived. */
  waiting: Flight[] | undefined;
}

/** At most so many keys are remembered, whatever the window: about 150 MB of short keys. */
const mostKeys = 1_000_000;

/** @param now ms since 1970 */
export function createSeen(windowMs: number, now: () => number = Date.now): Seen {
  // A Map keeps the order of insertion, which is that of time.
  const entries = new Map<string, Entry>();
  const forget = () => {
    const oldest = now() - windowMs;
    for (const [key, { time, waiting }] of entries) {
      if (entries.size <= mostKeys && (time >= oldest || waiting)) return;
      entries.delete(key);
    }
  };
  return {
    claim(key, flight) {
      forget();
      const entry = entries.get(key);
      if (entry?.waiting) entry.waiting.push(flight);
      else if (entry) flight.done();
      else entries.set(key, { time: now(), waiting: [] });
      return entry === undefined;
    },
    arrived(key) {
      const entry = entries.get(key);
      const waiting = entry?.waiting ?? [];
      if (entry) entry.waiting = undefined;
      for (const flight of waiting) flight.done();
    },
    async seed(sink) {
      for await (const key of keysIn(sink, now() - windowMs)) {
        if (!entries.has(key)) entries.set(key, { time: now(), waiting: undefined });
      }
    },
    get size() {
      return entries.size;
    },
  };
}

/** Dedupe keys of what was written to a sink at `since` (ms since 1970) or later. */
export async function* keysIn(sink: Sink, since: number): AsyncGenerator<string> {
  for await (const batch of sink.recent?.(since) ?? []) {
    for (const { headers } of batch) {
      for (const [name, value] of headers ?? []) {
        if (name === dedupeHeader) yield typeof value === 'string' ? value : Buffer.from(value).toString();
      }
    }
  }
}

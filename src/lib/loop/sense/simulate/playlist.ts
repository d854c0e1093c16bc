import { type Random, shuffled } from '../../../core/index.js';
import type { Recording } from '../../../data/index.js';

/** Recordings one after the other without an end, each as often as the others, in an order of chance. */
export interface Playlist {
  /** Moves on to the recording that plays at a time; it never goes back. @returns it, and the place in it, in samples with fractions */
  at(seconds: number): { recording: Recording; place: number };
}

/** @param recordings at least one of two samples or more; shorter ones are left out */
export function createPlaylist(recordings: readonly Recording[], random: Random): Playlist {
  const playable = recordings.filter(({ columns }) => (columns[0]?.length ?? 0) > 1);
  let order: Recording[] = [];
  let current: Recording | undefined;
  let began = 0;
  const now = { recording: playable[0]!, place: 0 };
  return {
    at(seconds) {
      for (;;) {
        if (current) {
          const place = (seconds - began) * current.rateHz;
          const length = current.columns[0]!.length;
          if (place < length) {
            now.recording = current;
            now.place = Math.max(0, place);
            return now;
          }
          began += length / current.rateHz;
        }
        if (order.length === 0) order = shuffled(playable, random);
        current = order.pop()!;
      }
    },
  };
}

/** The value at a place between samples, by a cubic through the four around it (Catmull and Rom). */
export function valueAt(column: Float64Array, place: number): number {
  const last = column.length - 1;
  const i = Math.min(Math.floor(place), last);
  const share = place - i;
  const b = column[i]!;
  if (share === 0 || i === last) return b;
  const c = column[i + 1]!;
  const a = i > 0 ? column[i - 1]! : b;
  const d = i + 2 <= last ? column[i + 2]! : c;
  return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)));
}

import type { Timing } from '../types.js';

/** What a sample's time says about those before it: it follows, so many are missing, it is late, or nothing can be told. */
export const verdicts = { follows: 0, late: -1, apart: -2 } as const;

export interface Track {
  /**
   * Takes the time of the next sample.
   * @param sure it is known to follow the one before, by its number
   * @param nowMs when it came here, by a clock that nobody sets
   * @returns `follows`, the number that are missing before it, `late` (before one that has come already: it is to be left out), or
   *   `apart` (the clock it is told by has moved)
   */
  step(t: number, sure: boolean, nowMs: number): number;
  /** The next sample follows nothing. */
  cut(): void;
  /** Time of the last sample on a line through many, ms: without the jitter of single stamps. */
  readonly smooth: number;
  /** Distance of samples, ms; null before it is known. */
  readonly periodMs: number | null;
}

/** Samples before the distance is known where nobody names it. */
const enough = 16;
/** Samples that the line is laid through; what was before is forgotten by and by. */
const memory = 100;
/** Samples in a row that say the same until they are believed. */
const believed = 16;
/** What comes late for so long, so often, or by so much, comes by a clock that was set back, and not twice. */
const back = { samples: 1000, ms: 2000, farMs: 10_000 };
/** What is known to follow, or of which too little is known, lies no further from the one before: in periods, and ms besides. */
const far = { periods: 50, ms: 200 };
/** Silence that breaks what has no times of its own: in periods, and ms. */
const silence = { periods: 20, ms: 2000 };

/**
 * Follows the times of samples that are taken at a steady rate, by a line whose error is fed back (an α-β filter that begins as the
 * least-squares line: Brookner, "Tracking and Kalman Filtering Made Easy", 1.2.10), and tells what is missing.
 */
export function createTrack(nominalHz: number | null, timing: Timing): Track {
  let nominal = nominalHz === null ? null : 1000 / nominalHz;
  let period = nominal ?? 0;
  let line = Number.NaN;
  let last = Number.NaN;
  let seen = 0;
  let sinceCut = 0;
  let lateRun = 0;
  let lateSince = 0;
  let oddRun = 0;

  const begin = (t: number) => {
    line = t;
    last = t;
    sinceCut = 1;
    seen++;
    lateRun = 0;
  };
  const known = () => nominal !== null || seen >= enough;
  /** Neither gaps nor lateness: the rate is another now. */
  const anew = (t: number) => {
    seen = 0;
    nominal = null;
    period = 0;
    oddRun = 0;
    begin(t);
    return verdicts.apart;
  };

  /** Far out of what was seen so far: no sensor is that unsteady, its clock was set. */
  const moved = (distance: number): boolean => {
    if (distance < 0) return -distance > far.periods * period + far.ms;
    if (seen < 2) return false;
    const [small, large] = distance < period ? [distance, period] : [period, distance];
    return large > far.periods * Math.max(0, small) + far.ms;
  };

  const follow = (t: number) => {
    seen++;
    sinceCut++;
    const error = t - (line + period);
    if (timing === 'arrival') {
      line += period + error * (nominal === null ? 1 : Math.max(0.001, 1 / sinceCut));
      if (nominal === null) period += error / Math.min(seen, 10 * memory);
      return;
    }
    const n = Math.min(sinceCut, memory);
    line += period + error * ((2 * (2 * n - 1)) / (n * (n + 1)));
    const m = Math.min(seen, memory);
    period += error * (6 / (m * (m + 1)));
  };

  return {
    step(t, sure, nowMs) {
      if (sinceCut === 0) {
        begin(t);
        return verdicts.follows;
      }
      const distance = t - last;
      if (distance < 0 && !(sure && timing === 'own')) {
        if (lateRun++ === 0) lateSince = nowMs;
        const setBack =
          lateRun >= back.samples ||
          (lateRun >= believed && (nowMs - lateSince > back.ms || -distance > back.farMs));
        if (!setBack) return verdicts.late;
        begin(t);
        return verdicts.apart;
      }
      // Those that were left out may have been new ones, by a clock that was set back a little.
      const leftOut = lateRun;
      lateRun = 0;
      last = t;
      if (leftOut >= believed) {
        begin(t);
        return verdicts.apart;
      }
      if (timing === 'own' && (sure || !known()) && moved(distance)) {
        if (known()) begin(t);
        else anew(t);
        return verdicts.apart;
      }
      if (sure || !known()) {
        follow(t);
        return verdicts.follows;
      }
      if (timing === 'arrival') {
        const quiet = distance > Math.max(silence.ms, silence.periods * period);
        if (!quiet) {
          follow(t);
          return verdicts.follows;
        }
        begin(t);
        return verdicts.apart;
      }
      // A line through two or three says nothing yet: the rate by name does.
      const unsettled = nominal !== null && Math.min(seen, sinceCut) < enough;
      const apart = unsettled ? nominal! : period;
      const error = unsettled ? distance - apart : t - (line + period);
      // Stamps in whole milliseconds may be one off.
      const missing =
        error > 0.75 * apart + (Number.isInteger(t) ? 1 : 0) ? Math.max(1, Math.round(error / apart)) : 0;
      const early = error < -8 * apart - 1;
      oddRun = missing > 0 || early ? oddRun + 1 : 0;
      if (oddRun >= believed) return anew(t);
      if (missing > 0) {
        begin(t);
        return missing;
      }
      follow(t);
      return verdicts.follows;
    },
    cut() {
      sinceCut = 0;
    },
    get smooth() {
      return line;
    },
    get periodMs() {
      return known() && period > 0 ? period : null;
    },
  };
}

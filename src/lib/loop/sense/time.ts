import { onAbort } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import type { Timing } from './types.js';

/** Results of `Track.step`. A positive number is the number of samples that are missing before this one. */
export const verdicts = { follows: 0, late: -1, apart: -2 } as const;

interface Track {
  /**
   * Processes the time of the next sample.
   * @param sure whether its number shows that it follows the previous one
   * @param nowMs arrival time, by a monotonic clock
   * @returns `follows`, the number of samples missing before it, `late` (earlier than a sample that has already arrived, to be dropped), or
   * `apart` (a break of unknown length, for example because a clock was set)
   */
  step(t: number, sure: boolean, nowMs: number): number;
  /** Marks a break: the next sample does not follow the last one. */
  cut(): void;
  /** Time of the last sample without the jitter of single timestamps, on a line through many samples; ms. */
  readonly smooth: number;
  /** Interval between samples, ms; null until it is known. */
  readonly periodMs: number | null;
}

/** Minimum number of samples for measuring the interval if it is not declared. */
const enough = 16;

/** Number of samples that the line covers. Older ones are gradually forgotten. */
const memory = 100;

/** Number of consecutive unexpected samples after which the rate or the clock is considered changed. */
const believed = 16;

/**
 * Conditions under which late samples mean that the clock was set back: this many late samples, late samples for this long, or samples that
 * are late by this much. Otherwise, late samples are repeats.
 */
const back = { samples: 1000, ms: 2000, farMs: 10_000 };

/** If the interval to the previous sample differs by more than this, the sensor's clock was set. In periods, plus ms. */
const far = { periods: 50, ms: 200 };

/** A longer pause breaks a sequence of samples that have no timestamps. Given in periods and in ms; the longer limit applies. */
const silence = { periods: 20, ms: 2000 };

/**
 * Tracks the times of samples taken at a steady rate, and determines how many are missing. It uses an α-β filter that starts as the
 * least-squares line (Brookner, "Tracking and Kalman Filtering Made Easy", 1.2.10).
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
  /** Starts over without a known rate: the intervals fit neither gaps nor late samples, so the rate has changed. */
  const anew = (t: number) => {
    seen = 0;
    nominal = null;
    period = 0;
    oddRun = 0;
    begin(t);
    return verdicts.apart;
  };

  /** Whether an interval differs so much from the previous ones that the sensor's clock must have been set. */
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
      // The dropped late samples may have been new ones, from a clock that was set back a little.
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
      // A line through two or three samples is not reliable yet, so the nominal rate is used.
      const unsettled = nominal !== null && Math.min(seen, sinceCut) < enough;
      const apart = unsettled ? nominal! : period;
      const error = unsettled ? distance - apart : t - (line + period);
      // Timestamps in whole milliseconds may be off by one.
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

/** The rate of samples and the jitter of their times, over the last minute or so. */
export interface Measure {
  /** @param follows whether no sample is missing between this one and the previous one */
  add(t: number, follows: boolean): void;
  /** Samples per second, Hz; null before the second sample. */
  rateHz(): number | null;
  /** 99 of 100 intervals deviate from the mean by at most this, ms; null before the first interval. */
  jitterP99Ms(): number | null;
}

/** Minimum duration and number of samples of a block over which the rate is measured. */
const block = { ms: 1000, samples: 16 };

const blocks = 60;
const distancesKept = 4096;

/**
 * Uses only blocks without missing samples. Because it measures whole blocks, timestamps in whole milliseconds do not affect the rate (at
 * 104 Hz, the median interval between them is 10 ms). For times from a clock, it uses the median block. For arrival times, which come in
 * bursts, it uses the sum of all blocks.
 */
export function createMeasure(timing: Timing): Measure {
  const done: { count: number; ms: number }[] = [];
  const distances = new Float64Array(distancesKept);
  let kept = 0;
  let from = Number.NaN;
  let last = Number.NaN;
  let count = 0;
  let earliest: { count: number; ms: number } | null = null;

  return {
    add(t, follows) {
      if (!follows || Number.isNaN(from)) {
        if (count > 0 && done.length === 0) earliest = { count, ms: last - from };
        from = t;
        last = t;
        count = 0;
        return;
      }
      distances[kept++ % distancesKept] = t - last;
      last = t;
      count++;
      if (t - from < block.ms || count < block.samples) return;
      if (done.push({ count, ms: t - from }) > blocks) done.shift();
      from = t;
      count = 0;
    },
    rateHz() {
      if (done.length === 0) {
        const of = count > 0 ? { count, ms: last - from } : earliest;
        return of !== null && of.ms > 0 ? (of.count * 1000) / of.ms : null;
      }
      if (timing === 'arrival') {
        const ms = done.reduce((sum, each) => sum + each.ms, 0);
        return (done.reduce((sum, each) => sum + each.count, 0) * 1000) / ms;
      }
      const rates = done.map((each) => (each.count * 1000) / each.ms).sort((a, b) => a - b);
      const middle = rates.length >> 1;
      return rates.length % 2 === 1 ? rates[middle]! : (rates[middle - 1]! + rates[middle]!) / 2;
    },
    jitterP99Ms() {
      const used = distances.subarray(0, Math.min(kept, distancesKept));
      if (used.length < 2) return null;
      const mean = used.reduce((sum, each) => sum + each, 0) / used.length;
      const off = used.map((each) => Math.abs(each - mean)).sort();
      return off[Math.min(off.length - 1, Math.ceil(off.length * 0.99) - 1)]!;
    },
  };
}

/**
 * Creates a clock that advances only while all tasks that use it are asleep. Hours pass in seconds, with events in the same order as in
 * real time.
 */
export function createVirtualClock(startMs = 0): Clock {
  let now = startMs;
  let order = 0;
  const sleepers: { at: number; order: number; wake: () => void }[] = [];
  let ticking = false;

  /** Wakes the task with the earliest time, once all other activity in this turn of the event loop has ended. */
  const tick = () => {
    ticking = false;
    let first = 0;
    for (let i = 1; i < sleepers.length; i++) {
      const [a, b] = [sleepers[i]!, sleepers[first]!];
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) first = i;
    }
    const [sleeper] = sleepers.splice(first, 1);
    if (!sleeper) return;
    now = Math.max(now, sleeper.at);
    sleeper.wake();
    schedule();
  };
  const schedule = () => {
    if (ticking || sleepers.length === 0) return;
    ticking = true;
    setImmediate(tick);
  };

  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const stop = () => {
          sleepers.splice(sleepers.indexOf(sleeper), 1);
          reject(signal?.reason);
        };
        const sleeper = {
          at: now + Math.max(0, ms),
          order: order++,
          wake: () => {
            leave();
            resolve();
          },
        };
        const leave = onAbort(signal, stop);
        sleepers.push(sleeper);
        schedule();
      }),
  };
}

/** Creates a copy of the clock that runs `speed` times as fast from now on. */
export function createScaledClock(clock: Clock, speed: number): Clock {
  const start = clock.now();
  return {
    now: () => start + (clock.now() - start) * speed,
    monotonic: () => (clock.monotonic?.() ?? clock.now()) * speed,
    sleep: (ms, signal) => clock.sleep(ms / speed, signal),
  };
}

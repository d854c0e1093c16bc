import { plural } from '../../../core/index.js';
import type { Tell } from '../events.js';
import type { Measure } from '../time/measure.js';
import { createTrack, verdicts } from '../time/track.js';
import type { Incoming, Timing } from '../types.js';
import { createSegments, type Segment } from './segments.js';

export interface Counts {
  samples: number;
  lost: number;
  gaps: number;
}

export interface FollowOptions {
  fields: number;
  timing: Timing;
  nominalHz: number | null;
  /** Longest gap that is bridged, samples. */
  bridge: number;
  measure: Measure;
  counts: Counts;
  tell: Tell;
  monotonicMs: () => number;
}

export interface Follower {
  add(batch: Incoming): Segment[];
  /** ms; null before it is known. */
  readonly periodMs: number | null;
}

/** A jump of the times by more than this is one of their clock, unless as much time has passed here. */
const jumpMs = 10_000;

/**
 * Tells by their times which samples follow each other. A gap of a sample or two is bridged by a straight line; a longer one breaks
 * the samples apart, as does a clock that moves; a sample that comes late or twice is left out. All is counted.
 */
export function createFollower(options: FollowOptions): Follower {
  const { fields, timing, bridge, measure, counts, tell, monotonicMs } = options;
  const track = createTrack(options.nominalHz, timing);
  const segments = createSegments(fields);
  const before = new Float64Array(fields);
  const filled = new Float64Array(fields);
  let lastT = Number.NaN;
  let lastSmooth = Number.NaN;
  let lastArrival = Number.NaN;
  let late = 0;

  const bridged = (missing: number, values: Float64Array, from: number, t: number) => {
    for (let k = 1; k <= missing; k++) {
      const share = k / (missing + 1);
      for (let f = 0; f < fields; f++) filled[f] = before[f]! + (values[from + f]! - before[f]!) * share;
      segments.push(filled, 0, lastT + (t - lastT) * share, lastSmooth + (track.smooth - lastSmooth) * share);
    }
    counts.lost += missing;
    counts.gaps++;
  };

  /** The last sample once more: a repeat of the message. */
  const again = (values: Float64Array, from: number, t: number): boolean => {
    if (timing !== 'own' || t !== lastT || (track.periodMs ?? 0) < 2) return false;
    return before.every((value, f) => value === values[from + f]);
  };

  const missed = (missing: number, t: number, passed: number) => {
    const jump = t - lastT;
    if (jump > jumpMs && passed < jump / 2) {
      tell('jump', `the times of the samples jump by ${(jump / 1000).toFixed(1)} s: the window begins anew`);
      segments.breakHere(1);
      return;
    }
    counts.lost += missing;
    counts.gaps++;
    tell('gap', `${plural(missing, 'sample')} missing: the window begins anew`);
    segments.breakHere(missing);
  };

  /** Nobody counted what is missing: by the times, where they can be believed. */
  const brokenOff = (t: number, passed: number) => {
    const period = track.periodMs;
    const missing = period === null || timing === 'exact' ? 0 : Math.round((t - lastT) / period) - 1;
    if (missing > 0 && t - lastT < 2 * passed + jumpMs) {
      counts.lost += missing;
      counts.gaps++;
    }
    segments.breakHere(Math.max(1, missing));
  };

  /** @returns whether the sample counts */
  const judge = (verdict: number, values: Float64Array, from: number, t: number, passed: number): boolean => {
    if (verdict === verdicts.late) {
      late++;
      tell('skipped', `samples that came late or twice are left out, ${late} so far`);
      return false;
    }
    if (verdict === verdicts.apart) {
      const what = timing === 'arrival' ? 'the sensor was silent for' : 'the times of the samples moved by';
      tell('jump', `${what} ${(Math.abs(t - lastT) / 1000).toFixed(1)} s: the window begins anew`);
      if (timing === 'arrival') counts.gaps++;
      segments.breakHere(1);
    } else if (verdict > 0 && verdict <= bridge) bridged(verdict, values, from, t);
    else if (verdict > 0) missed(verdict, t, passed);
    measure.add(t, verdict === verdicts.follows);
    return true;
  };

  return {
    add({ values, times, count, lost, sure, steady, apart }) {
      const arrival = monotonicMs();
      const passed = arrival - lastArrival;
      lastArrival = arrival;
      for (let i = 0; i < count; i++) {
        const t = times[i]!;
        const from = i * fields;
        if (i === 0 && (lost > 0 || apart)) track.cut();
        const verdict = again(values, from, t) ? verdicts.late : track.step(t, sure === true, arrival);
        if (i === 0 && lost > 0) {
          if (lost <= bridge && counts.samples > 0) bridged(lost, values, from, t);
          else missed(lost, t, Number.POSITIVE_INFINITY);
          measure.add(t, false);
        } else if (i === 0 && apart) {
          brokenOff(t, passed);
          measure.add(t, false);
        } else if (!judge(verdict, values, from, t, passed)) continue;
        counts.samples++;
        // Without a break the line never goes back, though a stamp may.
        const goesOn =
          verdict === verdicts.follows && (i > 0 || (lost === 0 && !apart)) && counts.samples > 1;
        const smooth = steady ? t : goesOn ? Math.max(track.smooth, lastSmooth) : track.smooth;
        segments.push(values, from, t, smooth);
        for (let f = 0; f < fields; f++) before[f] = values[from + f]!;
        lastT = t;
        lastSmooth = smooth;
      }
      return segments.take();
    },
    get periodMs() {
      return track.periodMs;
    },
  };
}

import { percent, plural } from '../../core/figures.js';
import type { Clock } from '../../core/time.js';
import type { SampleBatch, SourceFaults } from '../../sensor/types.js';
import type { Sensing } from '../types.js';
import type { SensorAddress } from './address.js';
import { type Mapped, mapFields } from './fields.js';
import { createGrid, createSegments, type Segment } from './grid.js';
import { createMeasure, createTrack, type Measure, verdicts } from './time.js';
import type { Incoming, RawSource, SensingContract, Tell, Timing } from './types.js';

export interface SensingPorts {
  clock: Clock;
  monotonicMs: () => number;
  tell: Tell;
}

/** Minimum change of this machine's clock that counts as setting it, ms. */
const movedMs = 1000;

/** How fast reported times follow smaller clock differences, as a share of the elapsed time. */
const slew = 0.005;

/**
 * Converts a source to the contract's fields, units and rate, and measures its samples.
 * @throws AIOT_SENSOR_UNFIT
 */
export function sensingOf(
  source: RawSource,
  address: Pick<SensorAddress, 'fields' | 'bridge' | 'resample'>,
  contract: SensingContract,
  { clock, monotonicMs, tell }: SensingPorts,
): Sensing {
  const wants = contract.fields;
  const mapped = mapFields(source.fields, wants, address.fields, source.endpoint);
  const convert = createConverter(mapped, source.fields.length);
  const counts: Counts = { samples: 0, lost: 0, gaps: 0 };
  const told = createRisingTimes();
  const repeats = createRepeats(wants.length, tell);
  let stages: Stages | undefined;
  let stepped = 0;
  let followed = monotonicMs();
  let wall = clock.now() - followed;

  /** Samples are stamped on arrival with a monotonic clock; this adjusts their reported times to the wall clock. */
  const followClock = () => {
    const now = monotonicMs();
    const off = clock.now() - now - wall;
    const set = Math.abs(off) >= movedMs;
    // Clocks also drift apart. Reported times follow that difference slowly, without an event.
    const most = slew * (now - followed);
    // Differences within a millisecond, the clock's resolution, are not followed.
    const moved = set ? off : Math.abs(off) <= 1 ? 0 : Math.max(-most, Math.min(most, off));
    followed = now;
    wall += moved;
    if (set) tell('jump', `this machine's clock changed by ${(moved / 1000).toFixed(1)} s`);
    if (source.timing === 'arrival' && !source.kept) told.move(moved);
  };

  /** The times of a batch without the steps of this machine's clock, which only affect reported times. */
  const unmoved = (batch: Incoming): Float64Array => {
    const { clockStepMs = 0, times } = batch;
    if (clockStepMs > 0) {
      stepped += clockStepMs;
      told.move(clockStepMs);
    }
    return stepped === 0 ? times : times.map((t) => t - stepped);
  };

  const take = (batch: Incoming): SampleBatch[] => {
    followClock();
    // The properties of message sources are known only after the first message.
    stages ??= createStages(source, address, contract, { counts, tell, monotonicMs });
    const { follower, grid, watch } = stages;
    const values = convert(batch);
    repeats(values, batch.count);
    const out: SampleBatch[] = [];
    for (const segment of follower.add({ ...batch, values, times: unmoved(batch) })) {
      for (const made of grid.add(segment)) out.push(made);
    }
    watch();
    return out;
  };

  const label = (batch: SampleBatch): SampleBatch => {
    told.apply(batch, stages?.follower.periodMs ?? 1);
    return { values: batch.values, times: batch.times, count: batch.count, lost: batch.lost };
  };

  async function* batches(): AsyncGenerator<SampleBatch> {
    for await (const batch of source) {
      for (const out of take(batch)) yield label(out);
    }
    for (const out of stages?.grid.end() ?? []) yield label(out);
  }

  return {
    endpoint: source.endpoint,
    fields: wants,
    get rateHz() {
      return contract.rateHz ?? source.rateHz ?? 1;
    },
    get faults(): Readonly<SourceFaults> {
      return source.faults;
    },
    get connected() {
      return source.connected ?? true;
    },
    rates: () => ({
      ...counts,
      rateHz: stages?.measure.rateHz() ?? null,
      jitterP99Ms: stages?.measure.jitterP99Ms() ?? null,
    }),
    ...(source.reply ? { reply: source.reply.bind(source) } : {}),
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}

type Stages = ReturnType<typeof createStages>;

function createStages(
  { timing, rateHz: nominalHz }: RawSource,
  { bridge, resample }: Pick<SensorAddress, 'bridge' | 'resample'>,
  { fields, rateHz: contractHz }: SensingContract,
  { counts, tell, monotonicMs }: Pick<SensingPorts, 'tell' | 'monotonicMs'> & { counts: Counts },
) {
  const measure = createMeasure(timing);
  const measuredHz = () => measure.rateHz();
  const shape = { fields: fields.length, timing, nominalHz, tell };
  const grid = createGrid({ ...shape, contractHz, resample, measuredHz });
  const expected = () => {
    if (grid.state === 'passing') return { hz: contractHz, of: 'the model expects' };
    return { hz: grid.state === 'resampling' ? nominalHz : null, of: 'it is set to' };
  };
  return {
    measure,
    follower: createFollower({ ...shape, bridge, measure, counts, monotonicMs }),
    grid,
    watch: createRateWatch(expected, measuredHz, tell),
  };
}

interface Counts {
  samples: number;
  lost: number;
  gaps: number;
}

interface FollowOptions {
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

interface Follower {
  add(batch: Incoming): Segment[];
  /** ms; null until it is known. */
  readonly periodMs: number | null;
}

/** A larger jump in the times, ms, means that the sensor's clock was set, unless as much time has passed here. */
const jumpMs = 10_000;

/**
 * Determines by their times which samples are consecutive. A gap of a few samples (`bridge`) is interpolated linearly. A longer gap or a
 * clock step breaks the sequence. A late or repeated sample is dropped. All of these are counted.
 */
function createFollower(options: FollowOptions): Follower {
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

  /** Whether a sample repeats the last one, because its message was resent. */
  const again = (values: Float64Array, from: number, t: number): boolean => {
    if (timing !== 'own' || t !== lastT || (track.periodMs ?? 0) < 2) return false;
    return before.every((value, f) => value === values[from + f]);
  };

  const missed = (missing: number, t: number, passed: number) => {
    const jump = t - lastT;
    if (jump > jumpMs && passed < jump / 2) {
      tell('jump', `the sample times jump by ${(jump / 1000).toFixed(1)} s: the window starts again`);
      segments.breakHere(1);
      return;
    }
    counts.lost += missing;
    counts.gaps++;
    tell('gap', `${plural(missing, 'sample')} missing: the window starts again`);
    segments.breakHere(missing);
  };

  /** Derives the unknown number of missing samples from the times, if they are plausible. */
  const brokenOff = (t: number, passed: number) => {
    const period = track.periodMs;
    const missing = period === null || timing === 'exact' ? 0 : Math.round((t - lastT) / period) - 1;
    if (missing > 0 && t - lastT < 2 * passed + jumpMs) {
      counts.lost += missing;
      counts.gaps++;
    }
    segments.breakHere(Math.max(1, missing));
  };

  /** @returns whether to use the sample */
  const judge = (verdict: number, values: Float64Array, from: number, t: number, passed: number): boolean => {
    if (verdict === verdicts.late) {
      late++;
      tell('skipped', `samples that arrive late or twice are dropped, ${late} so far`);
      return false;
    }
    if (verdict === verdicts.apart) {
      const what = timing === 'arrival' ? 'the sensor was silent for' : 'the times of the samples moved by';
      tell('jump', `${what} ${(Math.abs(t - lastT) / 1000).toFixed(1)} s: the window starts again`);
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
        // If nothing is missing, smoothed times never decrease, even if a timestamp does.
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

/**
 * Converts samples from the sensor's fields to the contract's fields. If nothing differs, the samples are passed on unchanged, bit for bit.
 */
function createConverter(mapped: readonly Mapped[], has: number): (batch: SampleBatch) => Float64Array {
  const same =
    mapped.length === has &&
    mapped.every(({ from, scale, offset }, f) => from === f && scale === 1 && offset === 0);
  if (same) return ({ values }) => values;
  return ({ values, count }) => {
    const out = new Float64Array(count * mapped.length);
    mapped.forEach(({ from, scale, offset }, f) => {
      for (let i = 0; i < count; i++) {
        const value = values[i * has + from]!;
        out[i * mapped.length + f] = scale === 1 && offset === 0 ? value : value * scale + offset;
      }
    });
    return out;
  };
}

/** Maximum relative deviation from the expected rate that is not reported. */
const tolerance = 0.03;

/** Number of batches between two checks of the rate. */
const every = 16;

/**
 * Reports when the sensor's rate differs from the expected one, and when it matches again.
 * @param expected the contract's rate; if samples are resampled, the configured rate
 */
function createRateWatch(
  expected: () => { hz: number | null; of: string },
  measuredHz: () => number | null,
  tell: Tell,
): () => void {
  let batches = 0;
  let off = false;
  return () => {
    if (batches++ % every !== every - 1) return;
    const { hz, of } = expected();
    if (hz === null) return;
    const measured = measuredHz();
    if (measured === null) return;
    const error = measured / hz - 1;
    if (Math.abs(error) > tolerance && !off) {
      off = true;
      tell('rate', `the sensor delivers ${measured.toPrecision(4)} samples per second, ${of} ${hz} Hz`);
    } else if (Math.abs(error) < tolerance / 2 && off) {
      off = false;
      tell('rate', `the sensor delivers ${measured.toPrecision(4)} samples per second again`);
    }
  };
}

/** Number of rows that are compared, and the minimum share of repeats that is not coincidental. */
const looked = 2000;

const share = 0.2;

/**
 * Detects samples that repeat the previous one in every field, which occur if a chip is polled faster than it measures. They are reported
 * once and not removed, because a model may have been trained on such samples. A single constant field is normal.
 */
function createRepeats(fields: number, tell: Tell): (values: Float64Array, count: number) => void {
  const before = new Float64Array(fields).fill(Number.NaN);
  let seen = 0;
  let repeats = 0;
  return (values, count) => {
    if (seen >= looked || fields < 2) return;
    for (let i = 0; i < count && seen < looked; i++, seen++) {
      let same = true;
      for (let f = 0; f < fields; f++) {
        const value = values[i * fields + f]!;
        if (value !== before[f]) same = false;
        before[f] = value;
      }
      if (same) repeats++;
    }
    if (seen >= looked && repeats > share * looked) {
      tell(
        'repeats',
        `${percent(repeats / looked)} of the samples repeat the previous one: the sensor is polled faster than it measures`,
      );
    }
  };
}

/**
 * Increasing times for the reader: those of the samples, adjusted to this machine's clock if it stamped them. After the clock was set back,
 * they advance at half speed until the clock has caught up.
 */
interface RisingTimes {
  /** Rewrites the times of a batch, in place. @param periodMs between two samples */
  apply(batch: SampleBatch, periodMs: number): void;
  /** Called when the clock that stamps samples here was set by this much, ms. */
  move(byMs: number): void;
}

/** Starts with the first batch passed to it. */
function createRisingTimes(): RisingTimes {
  let shift = 0;
  let last = Number.NEGATIVE_INFINITY;
  return {
    apply({ times, count }, periodMs) {
      for (let i = 0; i < count; i++) {
        const t = times[i]! + shift;
        last = t > last ? t : last + periodMs / 2;
        times[i] = last;
      }
    },
    move(byMs) {
      shift += byMs;
    },
  };
}

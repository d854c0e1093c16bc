import { residentBytes } from '../../core/process.js';
import type { Clock } from '../../core/time.js';
import type { LoopMonitor, LoopStatus } from '../status.js';
import type { Answer, ModelKeeper, Outputs, Sensing } from '../types.js';

/** Maximum number of recent events in a status. */
const keptEvents = 50;

/** Counters of a loop. Their size does not depend on how long it runs. */
export interface Tally {
  windows: number;
  predictions: number;
  changes: number;
  readonly classes: Map<string, number>;
  readonly latency: Histogram;
  readonly events: LoopStatus['events'];
  last: Answer | null;
  /** When the last samples arrived, ms since 1970. */
  lastSampleAt: number | null;
  /** @param latencyMs time until the prediction was passed to the outputs */
  answered(answer: Answer, latencyMs: number): void;
  event(text: string): void;
}

/** @param clock source of the events' times */
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

/** Counts durations in buckets of a constant ratio. Memory use does not depend on the number of durations. */
interface Histogram {
  readonly count: number;
  /** @param ms at least 0 */
  add(ms: number): void;
  /** Quantile in ms, accurate to 2.6 %; null if nothing was added. */
  percentile(share: number): number | null;
  /**
   * Counts in `columns` equal parts of the logarithmic range from `fromMs` to `toMs`. Values outside are counted in the first and the last
   * part.
   */
  spread(columns: number, fromMs: number, toMs: number): number[];
}

/** Range from 1 µs to 10⁴ s, in steps of 4 %. The middle of a step is within 2 % of all its values. */
const [smallestMs, ratio, steps] = [1e-3, 1.04, 592] as const;

export function createHistogram(): Histogram {
  const counts = new Float64Array(steps);
  let count = 0;
  const middleOf = (step: number) => smallestMs * ratio ** (step + 0.5);
  return {
    get count() {
      return count;
    },
    add(ms) {
      const step = Math.floor(Math.log(Math.max(ms, smallestMs) / smallestMs) / Math.log(ratio));
      const place = Math.min(steps - 1, step);
      counts[place] = counts[place]! + 1;
      count++;
    },
    percentile(share) {
      if (count === 0) return null;
      const rank = Math.max(1, Math.ceil(share * count));
      let seen = 0;
      const step = counts.findIndex((each) => {
        seen += each;
        return seen >= rank;
      });
      return Number(middleOf(step).toPrecision(3));
    },
    spread(columns, fromMs, toMs) {
      const parts = Array<number>(columns).fill(0);
      counts.forEach((each, step) => {
        if (each === 0) return;
        const share = Math.log(middleOf(step) / fromMs) / Math.log(toMs / fromMs);
        const part = Math.min(columns - 1, Math.max(0, Math.floor(share * columns)));
        parts[part] = parts[part]! + each;
      });
      return parts;
    },
  };
}

/** Parts of a loop that are open so far. */
export interface Running {
  /** Address of the sensor without credentials, used until the sensor is open. */
  sensor: string;
  /** Folder of the outputs' spools. */
  spool: string;
  sensing?: Sensing;
  keeper?: ModelKeeper;
  outputs?: Outputs;
  stopped?: boolean;
}

/** Time without samples after which a sensor counts as disconnected, ms. For slow sensors, it is ten of their periods. */
const silentMs = 3000;

/** The observable state of a loop, at any time from its beginning to its end. */
export function watchLoop(name: string, running: Running, tally: Tally, clock: Clock): LoopMonitor {
  const startedAt = clock.now();
  return {
    status(): LoopStatus {
      const at = clock.now();
      const { sensing, keeper, outputs } = running;
      const sensor = sensorState(running, tally, at);
      const [p50, p99] = [tally.latency.percentile(0.5), tally.latency.percentile(0.99)];
      const { last } = tally;
      const ready = sensing && keeper && outputs && sensor.connected;
      return {
        name,
        pid: process.pid,
        startedAt,
        at,
        state: running.stopped ? 'stopped' : ready ? 'running' : 'waiting',
        sensor,
        model: keeper?.state() ?? null,
        windows: tally.windows,
        predictions: tally.predictions,
        last: last && { t: last.t, label: last.label, voted: last.voted },
        latencyMs: p50 === null || p99 === null ? null : { p50, p99 },
        outputs: outputs?.states() ?? [],
        rssMb: rssMb(),
        events: [...tally.events],
      };
    },
  };
}

function sensorState(
  { sensor, sensing }: Running,
  { lastSampleAt }: Tally,
  at: number,
): LoopStatus['sensor'] {
  const patience = Math.max(silentMs, 10_000 / (sensing?.rateHz ?? 1));
  // The difference is negative if the clock was set back after the last sample.
  const silence = lastSampleAt === null ? Number.POSITIVE_INFINITY : Math.abs(at - lastSampleAt);
  return {
    endpoint: sensing?.endpoint ?? sensor,
    connected: sensing?.connected !== false && silence <= patience,
    ...(sensing?.rates() ?? { samples: 0, lost: 0, gaps: 0, rateHz: null, jitterP99Ms: null }),
    ...(sensing?.faults ?? { overruns: 0, retries: 0, reconnects: 0 }),
    lastSampleAt,
  };
}

/** Memory of this process, 10⁶ bytes. */
export function rssMb(): number {
  return Math.round(residentBytes() / 1e5) / 10;
}

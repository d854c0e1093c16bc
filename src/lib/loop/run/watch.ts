import { type Clock, residentBytes } from '../../core/index.js';
import type { ModelKeeper } from '../model-types.js';
import type { LoopMonitor } from '../monitor.js';
import type { LoopStatus } from '../status.js';
import type { Outputs, Sensing } from '../types.js';
import type { Tally } from './tally.js';

/** Parts of a loop that are there by now. */
export interface Running {
  /** The sensor's address without credentials, until it is open. */
  sensor: string;
  /** Folder of what waits for the outputs. */
  spool: string;
  sensing?: Sensing;
  keeper?: ModelKeeper;
  outputs?: Outputs;
  stopped?: boolean;
}

/** Sensors that are silent for so long are not there, ms; slower ones for ten of their periods. */
const silentMs = 3000;

/** A loop as others may look at it, at any time from its beginning to its end. */
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
  // A clock that was set back since then tells nothing of the sensor but that it was not heard since.
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

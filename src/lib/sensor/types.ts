import type { Clock } from '../core/time.js';
import type { SystemRoots } from './iio/device.js';

/** Samples that arrived together, in order. One sample is one record: a missing value drops its whole sample. */
export interface SampleBatch {
  /** Consecutive samples, one value per field: `count × fields.length`. Owned by the reader from now on. */
  values: Float64Array;
  /**
   * When each was taken, ms since 1970 with fractions: by the sensor's own clock if it has one, anchored to this machine's.
   * Increasing within a source, whatever this machine's clock does.
   */
  times: Float64Array;
  count: number;
  /** Samples known to be missing before the first of these: an overrun, a gap in a sequence. */
  lost: number;
  /**
   * By how much this machine's clock was set ahead before the first of these, ms: a gap in the times with no samples missing.
   * Absent = it was not.
   */
  clockStepMs?: number;
}

/** A value of a sample, and its unit: g, dps, gauss, degC, Pa, %. */
export interface SampleField {
  name: string;
  unit: string;
}

/** Counts of faults that were recovered from. */
export interface SourceFaults {
  /** Number of buffer overruns. */
  overruns: number;
  /** Bus transactions that were retried. */
  retries: number;
  /** How often the sensor disappeared and came back. */
  reconnects: number;
}

/** A source of samples. Iterate once; iteration ends when there are no more, or when it is closed. */
export interface SampleSource extends AsyncIterable<SampleBatch> {
  /** Address of the sensor, without credentials. */
  readonly endpoint: string;
  readonly fields: readonly SampleField[];
  /** Nominal rate as configured, Hz; null if the rate is known only from the samples' times. */
  readonly rateHz: number | null;
  readonly faults: Readonly<SourceFaults>;
  close(): Promise<void>;
}

/** Options of this machine's own sensors, besides a URL. */
export interface MachineOptions extends SystemRoots {
  /** Clock; default = the system's. */
  clock?: Clock;
}

import type { Clock } from '../core/time.js';
import type { SystemRoots } from './iio/device.js';

/** Samples that arrived together, in order. A sample is one record; if one of its values is missing, the whole sample is dropped. */
export interface SampleBatch {
  /** Consecutive samples, one value per field: `count × fields.length`. The array belongs to the reader from now on. */
  values: Float64Array;
  /**
   * Time of each sample, ms since 1970 with fractions. It is based on the sensor's own clock if it has one, aligned with the clock of this
   * machine. Times always increase, even if this machine's clock is set back.
   */
  times: Float64Array;
  count: number;
  /** Number of samples that are known to be missing before the first of these samples, because of an overrun or a gap in a sequence. */
  lost: number;
  /**
   * Amount by which this machine's clock was set ahead before the first of these samples, ms. The times then have a gap, but no samples are
   * missing. Absent = it was not set.
   */
  clockStepMs?: number;
}

/** A value of a sample, and its unit: g, dps, gauss, degC, Pa, %. */
export interface SampleField {
  name: string;
  unit: string;
}

/** Counts of faults from which the source recovered. */
export interface SourceFaults {
  /** Number of buffer overruns. */
  overruns: number;
  /** Number of bus transactions that were retried. */
  retries: number;
  /** Number of times that the sensor was reconnected. */
  reconnects: number;
}

/** A source of samples, which can be iterated once. Iteration ends when there are no more samples, or when the source is closed. */
export interface SampleSource extends AsyncIterable<SampleBatch> {
  /** Address of the sensor, without credentials. */
  readonly endpoint: string;
  readonly fields: readonly SampleField[];
  /** Nominal rate as configured, Hz; null if only the samples' times reveal the rate. */
  readonly rateHz: number | null;
  readonly faults: Readonly<SourceFaults>;
  close(): Promise<void>;
}

/** Options for opening a local sensor, besides its URL. */
export interface MachineOptions extends SystemRoots {
  /** Clock; default = the system's clock. */
  clock?: Clock;
}

import type { Clock } from '../core/time.js';
import type { SystemRoots } from './iio/device.js';

/** Samples that came together, in order. One sample is one record: a value that is missing takes its whole sample with it. */
export interface SampleBatch {
  /** Sample after sample, a value a field: `count × fields.length`. The reader's own from now on. */
  values: Float64Array;
  /**
   * When each was taken, ms since 1970 with fractions: by the sensor's own clock where it has one, anchored to this machine's.
   * Rising within a source, whatever this machine's clock does.
   */
  times: Float64Array;
  count: number;
  /** Samples that are known to be missing before the first of these: an overrun, a gap in a sequence. */
  lost: number;
  /**
   * By how much this machine's clock was set ahead before the first of these, ms: a gap in the times in which nothing is missing.
   * Absent = it was not.
   */
  clockStepMs?: number;
}

/** A value of a sample, and its unit: g, dps, gauss, degC, Pa, %. */
export interface SampleField {
  name: string;
  unit: string;
}

/** What went wrong so far and was mended, counted. */
export interface SourceFaults {
  /** Times that a buffer ran over. */
  overruns: number;
  /** Bus transactions that were tried again. */
  retries: number;
  /** Times that the sensor was gone and came back. */
  reconnects: number;
}

/** Where samples come from. Iterate once; iterating ends when there are no more, or it is closed. */
export interface SampleSource extends AsyncIterable<SampleBatch> {
  /** Without credentials. */
  readonly endpoint: string;
  readonly fields: readonly SampleField[];
  /** Nominal, as it was set; null where nobody knows but the clock. */
  readonly rateHz: number | null;
  readonly faults: Readonly<SourceFaults>;
  close(): Promise<void>;
}

/** What the openers of this machine's own sensors take beside a URL. */
export interface MachineOptions extends SystemRoots {
  /** Default = the system's. */
  clock?: Clock;
}

import * as z from 'zod';
import { createLowpass } from '../../signal/lowpass.js';
import { featureRows } from '../../signal/pipeline.js';
import { featureNames, type SignalSpec } from '../../signal/spec.js';
import { maxAgeMs, windowRateHz } from './layout.js';

/** Consecutive windows of samples, and the original's 115 features of each. */
interface Windows {
  readonly names: readonly string[];
  /** Number of samples in the window that is being filled. */
  readonly filled: number;
  /**
   * @param sample three values in g
   * @param time ms since 1970
   * @returns the features of the window that this sample completes
   */
  push(sample: readonly [number, number, number], time: number): Float64Array | null;
  /** Whether a sample of this time continues the current window: the pause before it must not exceed the lifetime of messages. */
  continues(time: number): boolean;
  reset(): void;
}

/**
 * @param samples samples per window, without overlap: 500 in the original's containers
 * @param lowpassHz corner frequency of a filter for the axes; null = none, as in the original
 */
export function createWindows(samples: number, lowpassHz: number | null = null): Windows {
  const spec: SignalSpec = {
    fields: ['x', 'y', 'z'],
    rateHz: windowRateHz,
    lowpassHz: null,
    resampleHz: windowRateHz,
    windowSamples: samples,
    strideSamples: samples,
    features: 'har',
  };
  const columns = spec.fields.map(() => new Float64Array(samples));
  // The filters keep their state across windows, as in training.
  const filters = spec.fields.map(() => createLowpass(lowpassHz, windowRateHz));
  let filled = 0;
  let last = Number.NaN;
  return {
    names: featureNames(spec),
    get filled() {
      return filled;
    },
    continues: (time) => filled === 0 || time - last <= maxAgeMs,
    push(sample, time) {
      last = time;
      columns.forEach((column, a) => {
        column[filled] = filters[a]!.step(sample[a]!);
      });
      if (++filled < samples) return null;
      filled = 0;
      return featureRows(spec, columns).rows[0]!;
    },
    reset() {
      filled = 0;
      for (const filter of filters) filter.reset();
    },
  };
}

/** A table of one row, as written by pandas with `orient="split"`. */
const frameSchema = z.object({
  columns: z.array(z.string()).min(1),
  data: z.array(z.array(z.number().nullable())).min(1),
});

/** The text before the values, cached as long as the list of names is the same. */
const heads = new WeakMap<readonly string[], string>();

/**
 * Encodes the `feats` message: base64 of `{"columns":[…],"index":[0],"data":[[…]]}`. @param columns must not change between calls
 */
export function encodeFrame(columns: readonly string[], row: ArrayLike<number>): Uint8Array {
  const head = heads.get(columns) ?? `{"columns":${JSON.stringify(columns)},"index":[0],"data":[[`;
  heads.set(columns, head);
  let values = '';
  // JSON has no NaN: pandas writes null, and reads it back as NaN.
  for (let i = 0; i < row.length; i++)
    values += `${i > 0 ? ',' : ''}${Number.isFinite(row[i]) ? row[i] : 'null'}`;
  return Buffer.from(Buffer.from(`${head}${values}]]}`, 'utf8').toString('base64'), 'latin1');
}

/** Parses the first row of a `feats` message into values by column name; undefined if the message is malformed. */
export function decodeFrame(payload: Uint8Array): Map<string, number> | undefined {
  let given: unknown;
  try {
    given = JSON.parse(Buffer.from(Buffer.from(payload).toString('latin1'), 'base64').toString('utf8'));
  } catch {
    return undefined;
  }
  const found = frameSchema.safeParse(given);
  const row = found.data?.data[0];
  if (!found.success || row?.length !== found.data.columns.length) return undefined;
  return new Map(found.data.columns.map((name, i) => [name, row[i] ?? Number.NaN]));
}

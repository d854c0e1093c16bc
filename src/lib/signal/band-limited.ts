/**
 * Resampling at any ratio by windowed-sinc interpolation: each output is a weighted sum of input samples. The weights are a low-pass's impulse
 * response at the samples' exact distances. Kernel as in J. O. Smith, "Digital Audio Resampling", with a Kaiser window (β and width by Kaiser's
 * formulas, as in Oppenheim and Schafer, "Discrete-Time Signal Processing", 7.6).
 */
export interface BandLimited {
  /**
   * Accepts the samples that follow the previous call's, and returns the output samples that can now be computed. The output lags by half a
   * kernel. The caller owns the arrays.
   * @param values sample after sample, one value per field
   * @param times of the samples, ms, ascending
   */
  push(
    values: Float64Array,
    times: Float64Array,
    count: number,
  ): { values: Float64Array; times: Float64Array; count: number };
  /** Discards all samples, so that the next sample starts a new output grid. */
  reset(): void;
}

export interface BandLimitedOptions {
  fields: number;
  inputHz: number;
  outputHz: number;
}

/**
 * Zero crossings of the kernel on each side. With 80 dB attenuation, the pass band reaches 79 % of the lower of the two Nyquist
 * frequencies.
 */
const crossings = 24;
const stopDb = 80;
/** Table entries per zero crossing. Values between entries are interpolated linearly, with an error of about 2e-6. */
const fine = 512;

/** Number of input samples that an output needs on each side. */
function kernelHalf({ inputHz, outputHz }: Omit<BandLimitedOptions, 'fields'>): number {
  return crossings / Math.min(1, outputHz / inputHz);
}

/** @returns a resampler whose output is flat within 1e-4 up to 0.395 of the lower rate, with aliases attenuated by 80 dB */
export function createBandLimited(options: BandLimitedOptions): BandLimited {
  const { fields, inputHz, outputHz } = options;
  const scale = Math.min(1, outputHz / inputHz);
  const half = kernelHalf(options);
  const table = kernelTable();
  const step = 1000 / outputHz;
  const perSample = fine * scale;
  let kept = new Float64Array(0);
  let keptTimes = new Float64Array(0);
  let start = Number.NaN;
  let outputs = 0;

  /** Interpolates the samples at position `at` (in samples) into `out`. A constant is reproduced exactly. */
  const interpolate = (values: Float64Array, at: number, out: Float64Array, to: number) => {
    const first = Math.ceil(at - half);
    const last = Math.floor(at + half);
    let sum = 0;
    for (let f = 0; f < fields; f++) out[to + f] = 0;
    for (let i = first; i <= last; i++) {
      const x = Math.abs(i - at) * perSample;
      const entry = x | 0;
      const weight = table[entry]! + (table[entry + 1]! - table[entry]!) * (x - entry);
      sum += weight;
      for (let f = 0; f < fields; f++) out[to + f]! += weight * values[i * fields + f]!;
    }
    for (let f = 0; f < fields; f++) out[to + f]! /= sum;
  };

  return {
    push(values, times, count) {
      const before = keptTimes.length;
      const total = before + count;
      const all = new Float64Array(total * fields);
      all.set(kept);
      all.set(
        count * fields === values.length ? values : values.subarray(0, count * fields),
        before * fields,
      );
      const at = new Float64Array(total);
      at.set(keptTimes);
      at.set(count === times.length ? times : times.subarray(0, count), before);
      // The first output is at the earliest position with kernel samples on both sides.
      const earliest = Math.ceil(half);
      if (Number.isNaN(start) && total > earliest) start = at[earliest]!;
      const lastPlace = total - 1 - half;
      const most = lastPlace < 0 ? 0 : Math.ceil((at[total - 1]! - at[0]!) / step) + 2;
      const out = new Float64Array(most * fields);
      const outTimes = new Float64Array(most);
      let made = 0;
      let i = 0;
      while (!Number.isNaN(start) && made < most) {
        const t = start + outputs * step;
        while (i + 1 < total && at[i + 1]! <= t) i++;
        const place = i + 1 < total ? i + (t - at[i]!) / (at[i + 1]! - at[i]!) : i;
        if (place > lastPlace) break;
        interpolate(all, place, out, made * fields);
        outTimes[made++] = t;
        outputs++;
      }
      const drop = Math.max(0, Math.min(i - Math.ceil(half) - 1, total));
      kept = all.slice(drop * fields);
      keptTimes = at.slice(drop);
      return {
        values: made === most ? out : out.slice(0, made * fields),
        times: made === most ? outTimes : outTimes.slice(0, made),
        count: made,
      };
    },
    reset() {
      kept = new Float64Array(0);
      keptTimes = new Float64Array(0);
      start = Number.NaN;
      outputs = 0;
    },
  };
}

/**
 * Resamples a whole recording. The first output is at the first sample, the last one at or before the last sample; beyond both ends, the
 * signal is extended with its end values.
 * @param columns one per field, all of the same length; left unchanged, and returned if the rates are equal
 */
export function resampled(columns: Float64Array[], inputHz: number, outputHz: number): Float64Array[] {
  const length = columns[0]?.length ?? 0;
  if (inputHz === outputHz || length === 0) return columns;
  const margin = Math.ceil(kernelHalf({ inputHz, outputHz })) + 1;
  const times = Float64Array.from(
    { length: length + 2 * margin },
    (_, i) => ((i - margin + 1) * 1000) / inputHz,
  );
  const count = Math.floor(((length - 1) * outputHz) / inputHz) + 1;
  return columns.map((column) => {
    const values = new Float64Array(times.length).fill(column[0]!, 0, margin - 1);
    values.set(column, margin - 1);
    values.fill(column[length - 1]!, margin - 1 + length);
    const { values: out } = createBandLimited({ fields: 1, inputHz, outputHz }).push(
      values,
      times,
      times.length,
    );
    return out.slice(0, count);
  });
}

/** One side of the kernel, from its middle to its end; x in zero crossings. */
function kernelTable(): Float64Array {
  const beta = 0.1102 * (stopDb - 8.7);
  // Full width of the transition in cycles per sample of the lower rate; it ends at the Nyquist frequency.
  const transition = (stopDb - 7.95) / (14.36 * 2 * crossings);
  const cutoff = 0.5 - transition / 2;
  const table = new Float64Array(crossings * fine + 2);
  const top = besselI0(beta);
  // The kernel is 0 at its end, so a sample there has no effect.
  for (let n = 0; n < crossings * fine; n++) {
    const x = n / fine;
    const angle = 2 * Math.PI * cutoff * x;
    const sinc = n === 0 ? 1 : Math.sin(angle) / angle;
    table[n] = (sinc * besselI0(beta * Math.sqrt(Math.max(0, 1 - (x / crossings) ** 2)))) / top;
  }
  return table;
}

/** Modified Bessel function of the first kind, order 0, by its series (Abramowitz and Stegun 9.6.10). */
function besselI0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

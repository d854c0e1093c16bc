/**
 * Where the k-th sample after resampling lies among the samples before it: k·rate/resample. At most one of them lies
 * after one input sample and up to the next, because resampling never raises the rate.
 */
export interface Resampler {
  /** Tells the resampler that the next input sample has come; true = an output sample lies at or before it. */
  advance(): boolean;
  /** Value of that output sample by linear interpolation between the two last input samples. */
  value(previous: number, current: number): number;
  reset(): void;
}

/** @param rateHz of the input @param resampleHz of the output, at most rateHz; equal = identity */
export function createResampler(rateHz: number, resampleHz: number): Resampler {
  let inputs = 0;
  let outputs = 0;
  let share = 1;
  return {
    advance() {
      const at = inputs++;
      const position = (outputs * rateHz) / resampleHz;
      if (position > at) return false;
      outputs++;
      share = position - (at - 1);
      return true;
    },
    value: (previous, current) => (share === 1 ? current : previous + (current - previous) * share),
    reset() {
      inputs = 0;
      outputs = 0;
    },
  };
}

/** Output samples that come of so many input samples: all k with k·rate/resample ≤ inputs − 1. */
export function resampledCount(inputs: number, rateHz: number, resampleHz: number): number {
  if (inputs === 0) return 0;
  let count = Math.floor(((inputs - 1) * resampleHz) / rateHz);
  // Rounding may put the estimate one off at rates that do not divide.
  if ((count * rateHz) / resampleHz > inputs - 1) count--;
  while (((count + 1) * rateHz) / resampleHz <= inputs - 1) count++;
  return count + 1;
}

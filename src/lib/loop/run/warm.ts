import type { Prediction, Predictor } from '../../model/index.js';
import type { SignalSpec } from '../../signal/index.js';
import type { History } from './history.js';

/** Samples as they arrive that give so many after resampling, the last of them with the last sample. */
function arriving(spec: SignalSpec, resampled: number): number {
  return Math.ceil(((resampled - 1) * spec.rateHz) / spec.resampleHz) + 1;
}

/** Windows that a predictor goes through before the one that counts, so that its filters have forgotten how they began. */
const before = (spec: SignalSpec) => Math.ceil(spec.windowSamples / spec.strideSamples);

/** Samples that `warmUp` can make use of. */
export function usefulHistory(spec: SignalSpec): number {
  return arriving(spec, spec.windowSamples + before(spec) * spec.strideSamples);
}

/**
 * Shows a new predictor the last samples, so that one of its windows ends with the newest of them: its next one ends a stride later,
 * as that of the predictor whose place it takes.
 * @returns its answer to that window; null where there are too few samples for one
 */
export function warmUp(predictor: Predictor, spec: SignalSpec, history: History): Prediction | null {
  let windows = before(spec);
  const wanted = () => arriving(spec, spec.windowSamples + windows * spec.strideSamples);
  while (windows > 0 && wanted() > history.length) windows--;
  let answer: Prediction | null = null;
  history.last(wanted(), (sample) => {
    answer = predictor.push(sample);
  });
  return answer;
}

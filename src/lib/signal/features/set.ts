import type { SignalSpec } from '../types.js';

/** A set of features of one window, made once for a spec: tables and work space belong to it. */
export interface FeatureSet {
  names: string[];
  /**
   * @param window one column a field, each of `windowSamples` samples; left unchanged
   * @param out one value a name; every value is finite for finite samples
   */
  compute(window: Float64Array[], out: Float64Array): void;
}

export type FeatureSetMaker = (spec: SignalSpec) => FeatureSet;

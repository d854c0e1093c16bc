/**
 * The signal part of the contract, as it stands in a bundle: how samples become one model input, in this order:
 * low-pass, resample, window, features, standardization. TypeScript and C compute it by this one definition.
 */
export interface SignalSpec {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Hz, as samples arrive. */
  rateHz: number;
  /** Corner of the low-pass filter, Hz; null = none. */
  lowpassHz: number | null;
  /** Hz after resampling. */
  resampleHz: number;
  /** Samples after resampling in one window. */
  windowSamples: number;
  /** Samples after resampling from one window's start to the next. */
  strideSamples: number;
  /** A named set, or names out of the sets. */
  features: 'raw' | 'motion' | 'har' | 'spectral' | string[];
}

/** Per input of the network: standardized = (feature − mean) / deviation. */
export interface Standardization {
  mean: number[];
  deviation: number[];
}

/**
 * What a device needs of a model, as a port: the real one opens bundles with the model room, tests put their own in.
 */
export interface Prediction {
  /** Number of the window since the reset, from 0. */
  window: number;
  label: string;
  /** Label after the vote. */
  voted: string;
  /** Dequantized outputs, in the order of the classes. */
  scores: ArrayLike<number>;
}

export interface Predictor {
  /** One sample, one value a field; the answer when it completes a window. */
  push(sample: ArrayLike<number>): Prediction | null;
  /** The next sample is the first of a new recording. */
  reset(): void;
}

export interface LoadedModel {
  /** Fields of one sample, in order. */
  fields: string[];
  /** Hz, as samples arrive. */
  rateHz: number;
  classes: string[];
  createPredictor(): Promise<Predictor>;
}

export interface ModelRuntime {
  /** @throws AIOT_BUNDLE_MALFORMED */
  load(bundle: Uint8Array): Promise<LoadedModel>;
  /** Runs the bundle's golden vectors. @throws AIOT_BUNDLE_MALFORMED */
  checkGolden(bundle: Uint8Array): Promise<{ vectors: number; passed: number }>;
}

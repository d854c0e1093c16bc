/**
 * Samples → windows → features: pure functions on typed arrays, defined once for training, Pi, simulator and chip. They use plain loops in
 * double precision, so that the firmware's C code computes the same values.
 */
export {
  atSpeed,
  centered,
  mixedAtSnr,
  noiseKinds,
  noiseOf,
  powerOf,
  reverberated,
  shifted,
} from './acoustics.js';
export { createBandLimited, resampled } from './band-limited.js';
export { signalBytes } from './chip-memory.js';
export { bandOf } from './feature-sets.js';
export { createComplexFourier } from './fourier.js';
export { createLowpass } from './lowpass.js';
export { frameCount, frameValues, type MelSpec } from './mel.js';
export {
  bitsOf,
  gainOf,
  logTable,
  microTables,
  type NoiseReduction,
  RealTransform,
  rootOf,
  scaledLog,
  shrunk,
  withoutNoise,
} from './microfrontend.js';
export { conditioned, createPipeline, featureRows, windowCount, windowFeatures } from './pipeline.js';
export { type Samples, SampleTransform } from './sample-transform.js';
export {
  featureNames,
  type ImageSpec,
  inputShape,
  isTimeless,
  melSpecOf,
  quantizeInput,
  type SignalSpec,
  type Standardization,
  signalSpecOf,
  standardize,
} from './spec.js';

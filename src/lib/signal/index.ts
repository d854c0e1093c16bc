/**
 * Samples → windows → features: pure functions on typed arrays, one definition for training, Pi, simulator and chip.
 * Plain loops in double precision throughout, so that the firmware's C computes the same.
 */

export { type BandLimited, createBandLimited } from './band-limited.js';
export { conditioned, featureRows, windowCount, windowFeatures } from './batch.js';
export { createLowpass, type Lowpass } from './lowpass.js';
export { createPipeline } from './pipeline.js';
export { featureNames, inputShape, signalSpecOf } from './spec.js';
export { quantizeInput, standardize } from './standardize.js';
export type * from './types.js';

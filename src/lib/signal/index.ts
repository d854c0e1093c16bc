/** Samples → windows → features: pure functions on typed arrays, one definition for training, Pi, simulator and chip. */
export type * from './types.js';

/** What programs call, and the commands too: work that takes long, with one shape of progress, an AbortSignal, and defaults. */
export * from './evaluate/index.js';
export * from './extract/index.js';
export * from './flash/index.js';
export * from './inspect/index.js';
export type * from './progress.js';
export * from './quantize/index.js';
export * from './rollouts/index.js';
export * from './train/index.js';

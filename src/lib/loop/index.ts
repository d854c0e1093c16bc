/**
 * Sensor → window → features → model → vote → outputs, on a Pi or any Linux box, alone and for months. Trains nothing but the
 * last layer, and that only when taught by hand.
 */
export * from './har/index.js';
export { serveTraining } from './model/apart.js';
export { openModel } from './model/open-model.js';
export type { ModelOptions } from './model/options.js';
export type * from './model-types.js';
export type { LoopMonitor } from './monitor.js';
export * from './operate/index.js';
export * from './output/index.js';
export * from './run/index.js';
export * from './sense/index.js';
export { type LoopStatus, loopStatusSchema } from './status.js';
export * from './teach/index.js';
export type * from './types.js';

/** The loop itself: samples to answers to outputs, the parts it is put together of, and what is told of it. */
export type { LoopTap } from './engine.js';
export type { LoopBegun, LoopOptions } from './options.js';
export type { LoopParts } from './parts.js';
export { type LoopResult, loopResultSchema } from './result.js';
export { runLoop, startLoop } from './run.js';
export { stageResultSchema } from './stage-result.js';

/** Runs models on this machine with the bit-exact device interpreter or with LiteRT, and computes the memory that a device will need. */
export { arenaBytes, planArena } from './arena.js';
export {
  type Code,
  f32,
  f32x4,
  get,
  i32,
  Kernel,
  type Lanes,
  type Local,
  loop,
  type Memory,
  moduleOf,
  set,
  storeLane,
  webAssembly,
  when,
} from './compiled/assembler.js';
export { type EdgeLiteRtSession, openEdgeLiteRt, openEdgeLiteRtSession } from './edge-litert.js';
export { gatherPlan, type Moves, movesOf } from './interpreter/copies.js';
export { isQuotientDefined } from './interpreter/elementwise.js';
export {
  doublingHighMultiply,
  exponential,
  multiplyByQuantized,
  quantizeMultiplier,
  roundingShiftRight,
  stepsOf,
} from './interpreter/fixed-point.js';
export { floatRange } from './interpreter/float.js';
export { type Axis, axisOf, depthwiseFilter, windowAxes } from './interpreter/geometry.js';
export {
  batchMatmulOf,
  bilinearPlaces,
  nearestPlaces,
  realPlaces,
  resizeOf,
  transposeConvOf,
} from './interpreter/images.js';
export { logSoftmaxPlan } from './interpreter/int8.js';
export { inputScale, lookupTables, sigmoidTable } from './interpreter/int16.js';
export { createInterpreter, hasKernel, hasMicroKernel, nodeAt } from './interpreter/interpreter.js';
export type { Activations, Interpreter, Node, OnTensor } from './interpreter/node.js';
export { floatView, type LiteRtSession, liteRtModule, openLiteRt, openLiteRtSession } from './litert.js';

/**
 * Runs networks on this machine: the bit-exact device interpreter, the real LiteRT, and the memory a device will need.
 */

export { arenaBytes, planArena } from './arena/arena.js';
export { floatView } from './float-view.js';
export { exponential } from './interpreter/fixed-functions.js';
export { doublingHighMultiply, quantizeMultiplier } from './interpreter/fixed-point.js';
export { type Axis, axisOf } from './interpreter/geometry.js';
export { createInterpreter } from './interpreter/interpreter.js';
export type { Activations, Interpreter, OnTensor, Values } from './interpreter/types.js';
export { liteRtModule } from './litert/module.js';
export { openLiteRt } from './litert/open.js';
export { type LiteRtSession, openLiteRtSession } from './litert/session.js';

/** Quantization by itself, for the command that starts with nothing else of this room: the room's index.ts has the same. */
export { type Emit, emits } from '../emit/emit.js';
export { compileEdgeTpu, type EdgeTpu, readEdgeTpu } from './edgetpu.js';
export { type QuantizeModelOptions, quantizeModel, targets } from './quantize-model.js';
export { type QuantizeResult, quantizeResultSchema } from './result.js';
export { calibrations } from './types.js';

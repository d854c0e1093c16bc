/** The .tflite file format: reader, writer, and the graph that both speak of. */
export { activationPlaces } from './activations.js';
export { checkGraph } from './check-graph.js';
export { checkQuantization } from './check-quantization.js';
export type * from './graph.js';
export { importTflite, readTflite } from './reader.js';
export { type SliceAxis, sliceAxes } from './strided-slice.js';
export { elementBytes, elementCount } from './tensor-types.js';
export { withoutUnused } from './unused.js';
export { writeTflite } from './writer.js';

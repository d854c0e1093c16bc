/** The .tflite file format: reader, writer, and the graph that both speak of. */
export { checkGraph } from './check-graph.js';
export { checkQuantization } from './check-quantization.js';
export type * from './graph.js';
export { readTflite } from './reader.js';
export { elementBytes, elementCount } from './tensor-types.js';
export { writeTflite } from './writer.js';

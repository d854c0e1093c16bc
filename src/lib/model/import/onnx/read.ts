import type { Imported } from '../open.js';
import { ExternalData } from './constants.js';
import { readOnnxFile, tensorsIn } from './file.js';
import { type OnnxOptions, onnxToGraph } from './to-graph.js';

/**
 * Reads an .onnx file, and the data stored in other files in its folder.
 * @throws AIOT_FILE_MALFORMED, AIOT_LAYER_UNSUPPORTED
 */
export async function readOnnx(path: string, bytes: Uint8Array, options: OnnxOptions): Promise<Imported> {
  const model = await readOnnxFile(bytes);
  if (model.graph !== undefined) await new ExternalData(path).load(tensorsIn(model.graph));
  const { graph, producer, layers, folded, axes, notes } = onnxToGraph(model, options);
  return { format: 'onnx', writer: producer, layers, graph, notes, folded, axes };
}

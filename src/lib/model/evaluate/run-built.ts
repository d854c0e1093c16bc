import type { Graph } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import type { Built } from '../built.js';
import { decode, encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { refuseOffDevice } from '../inspect/refusal.js';
import { standardizeAll } from '../train/standardize.js';
import type { Examples } from '../train/types.js';
import { openNetwork, predictRows } from './predict.js';

/** Outputs of a project's networks for the same rows: [rows × width], row-major, real values. */
export interface BuiltOutputs {
  /** The network's inputs as real values: standardized. */
  inputs: Float32Array;
  float: Float32Array;
  litert: Float32Array;
  /** Null where a device cannot run it. */
  device: Float32Array | null;
  width: number;
}

/** Runs the float and the quantized network on LiteRT, and the quantized one as a device does, from features on. */
export async function runBuilt(
  { training, float, int8 }: Built,
  examples: Examples,
  onDevice: boolean,
  signal?: AbortSignal,
): Promise<BuiltOutputs> {
  const inputs = standardizeAll(examples, training.standardization);
  const floatOutputs = await onLiteRt(float.bytes, inputs, signal);
  const litert = await onLiteRt(int8.bytes, inputs, signal);
  const device = onDevice ? asDevice(int8.graph, examples, training.standardization, signal) : null;
  const width = floatOutputs.length / examples.classes.length;
  return { inputs, float: floatOutputs, litert, device, width };
}

async function onLiteRt(bytes: Uint8Array, inputs: Float32Array, signal?: AbortSignal) {
  const network = await openNetwork(bytes, 'litert');
  try {
    return predictRows(network, inputs, signal);
  } finally {
    network.close();
  }
}

/** The bit-exact interpreter, from features to outputs, with the input quantized the way devices do it. */
function asDevice(
  graph: Graph,
  { inputs, inputSize, classes }: Examples,
  standardization: Built['training']['standardization'],
  signal?: AbortSignal,
): Float32Array {
  refuseOffDevice(graph);
  const [input, output] = [endOf(graph, 'inputs'), endOf(graph, 'outputs')];
  const interpreter = createInterpreter(graph);
  const values = valuesOf(input, inputSize);
  const outputs: number[] = [];
  for (let row = 0; row < classes.length; row++) {
    if (row % 64 === 0) signal?.throwIfAborted();
    const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
    outputs.push(
      ...decode(interpreter.invoke(encodeInput(features, standardization, input, values)), output),
    );
  }
  return Float32Array.from(outputs);
}

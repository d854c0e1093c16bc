import type { Graph } from '../../formats/index.js';
import { createInterpreter, openLiteRt } from '../../runtime/index.js';
import { quantizeInput, type Standardization } from '../../signal/index.js';
import type { Examples } from '../train/types.js';
import { argMaxRows } from './metrics.js';

/** Classes that the int8 network gives on a device: the bit-exact interpreter, from features to the largest output. */
export function predictInt8(graph: Graph, examples: Examples, standardization: Standardization): Int32Array {
  const interpreter = createInterpreter(graph);
  const { scale = [], zeroPoint = [] } = interpreter.inputTensor.quantization ?? {};
  const quantization = { scale: scale[0]!, zeroPoint: zeroPoint[0]! };
  const input = new Int8Array(examples.inputSize);
  return Int32Array.from(examples.classes, (_, i) => {
    const features = rowOf(examples.inputs, examples.inputSize, i);
    const output = interpreter.invoke(quantizeInput(features, standardization, quantization, input));
    return argMaxRows(output, output.length)[0]!;
  });
}

/** Classes that LiteRT gives for a float or int8 file. `inputs`: standardized windows, row-major. */
export async function predictLiteRt(bytes: Uint8Array, inputs: Float32Array): Promise<Int32Array> {
  const model = await openLiteRt(bytes);
  try {
    return Int32Array.from(
      { length: inputs.length / model.inputs },
      (_, i) => argMaxRows(model.predict(rowOf(inputs, model.inputs, i)), model.outputs)[0]!,
    );
  } finally {
    model.close();
  }
}

function rowOf(values: Float32Array, size: number, row: number): Float32Array {
  return values.subarray(row * size, (row + 1) * size);
}

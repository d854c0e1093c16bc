import { AiotError } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import { dynamicOperator, float16Operator } from './precision.js';

/**
 * Why TFLite Micro refuses the network, in a sentence; null when it does not. Measured with the tflite-micro of PyPI: it
 * has no kernel for float32 activations with int8 weights, nor for DEQUANTIZE from float16.
 */
export function refusalOfMicro(graph: Graph): string | null {
  const dynamic = dynamicOperator(graph);
  if (dynamic)
    return `TFLite Micro refuses it: operator ${dynamic.index} (${dynamic.operator.op}) has int8 weights under float32 activations (dynamic range), and it has no such kernel`;
  const half = float16Operator(graph);
  if (half)
    return `TFLite Micro refuses it: operator ${half.index} (DEQUANTIZE) widens float16 weights, and it has no kernel for float16`;
  return null;
}

/** @throws AIOT_TFLITE_UNSUPPORTED for dynamic range and float16, which devices have no kernels for */
export function refuseOffDevice(graph: Graph): void {
  const refusal = refusalOfMicro(graph);
  if (refusal === null) return;
  throw new AiotError('AIOT_TFLITE_UNSUPPORTED', `devices cannot run this network: ${refusal}`, {
    next: 'Measure it with --runtime litert, or make it anew: aiot model quantize FLOAT.tflite --mode int8',
  });
}

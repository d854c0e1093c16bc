import { AiotError } from '../../core/index.js';
import { readTflite, writeTflite } from '../../formats/index.js';
import { floatView } from '../float-view.js';
import { openLiteRtSession } from './session.js';

/** A network opened in LiteRT. */
export interface LiteRtModel {
  /** Elements of the input and of the output. */
  readonly inputs: number;
  readonly outputs: number;
  /** Real values in, real values out, a new array each time. @throws AIOT_TFLITE_INPUT, AIOT_LITERT_FAILED */
  predict(input: Float32Array): Float32Array;
  /** Gives its memory back. */
  close(): void;
}

/**
 * Opens a .tflite file in Google's LiteRT (WebAssembly, one thread, XNNPACK kernels). An int8 network is opened through
 * its float view, because LiteRT's bindings take float32 alone; int8 results may differ from a device's by a few steps
 * (XNNPACK rounds in floating point), so compare by accuracy.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_LITERT_FAILED
 */
export async function openLiteRt(bytes: Uint8Array): Promise<LiteRtModel> {
  // Reading first keeps damaged files away from native code, and writing makes an open batch a fixed one.
  const graph = floatView(readTflite(bytes));
  const ends = [...graph.inputs, ...graph.outputs];
  if (ends.length !== 2 || ends.some((index) => graph.tensors[index]!.type !== 'float32'))
    throw new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      'expected one input and one output of float32, int16 or int8',
    );
  const { inputs, outputs, run, close } = await openLiteRtSession(writeTflite(graph));
  return { inputs, outputs: outputs[0]!, predict: (input) => run(input)[0]!, close };
}

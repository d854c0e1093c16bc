import { AiotError } from '../../core/index.js';
import { elementCount, readTflite } from '../../formats/index.js';
import { featureNames } from '../../signal/index.js';
import type { Bundle, BundleInfo } from './types.js';

/**
 * Whether the parts of a bundle fit each other: a bundle that passes can be run.
 * @throws AIOT_BUNDLE_MALFORMED
 */
export function checkBundle({ info, model, golden }: Bundle): void {
  const graph = read(() => readTflite(model), 'model.tflite');
  const features = read(() => featureNames(info.signal), 'bundle.json: signal').length;
  const ends = [
    ['input', graph.inputs, features],
    ['output', graph.outputs, info.classes.length],
  ] as const;
  for (const [end, indices, count] of ends) {
    const tensor = graph.tensors[indices[0] ?? -1];
    if (indices.length !== 1 || tensor?.type !== 'int8' || elementCount(tensor.shape) !== count) {
      throw malformed(
        `model.tflite: expected one int8 ${end} of ${count} values, got ${tensor ? `${tensor.type} [${tensor.shape}]` : 'none'}`,
      );
    }
    const { scale, zeroPoint } = info[end];
    if (tensor.quantization?.scale[0] !== scale || tensor.quantization.zeroPoint[0] !== zeroPoint) {
      throw malformed(`bundle.json: ${end}: scale and zero point are not those of model.tflite`);
    }
  }
  checkStandardization(info, features);
  for (const [i, { samples, input, output }] of golden.entries()) {
    const fits =
      samples.every((sample) => sample.length === info.signal.fields.length) &&
      input.length === features &&
      output.length === info.classes.length;
    if (!fits) throw malformed(`golden.json: vector ${i} is not of the network's shape`);
  }
}

function checkStandardization({ standardization: { mean, deviation } }: BundleInfo, features: number): void {
  if (mean.length !== features || deviation.length !== features || deviation.some((d) => d <= 0)) {
    throw malformed(
      `bundle.json: standardization: expected ${features} means and as many deviations above 0, got ${mean.length} and ${deviation.length}`,
    );
  }
}

function read<T>(run: () => T, what: string): T {
  try {
    return run();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw malformed(`${what}: ${reason}`, error);
  }
}

function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BUNDLE_MALFORMED', message, { cause });
}

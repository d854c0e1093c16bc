import { AiotError } from '../../core/index.js';
import { elementCount, type Graph, readTflite } from '../../formats/index.js';
import { featureNames } from '../../signal/index.js';
import { endOf } from './ends.js';
import type { Bundle, BundleInfo, NetworkBundle } from './types.js';

/**
 * Whether the parts of a bundle fit each other: a bundle that passes can be run.
 * @throws AIOT_BUNDLE_MALFORMED
 */
export function checkBundle(bundle: Bundle | NetworkBundle): void {
  const { info, model, golden } = bundle;
  const graph = read(() => readTflite(model), 'model.tflite');
  for (const side of ['input', 'output'] as const) checkEnd(graph, info[side], side);
  if (info.kind === 'network') {
    if (golden.length > 0) throw malformed('golden.json: a network alone has no golden vectors');
    return;
  }
  const features = read(() => featureNames(info.signal), 'bundle.json: signal').length;
  const outputs = outputsOf(info, features);
  for (const [side, count] of [
    ['input', features],
    ['output', outputs],
  ] as const) {
    const { type, shape } = info[side];
    if (elementCount(shape) === count) continue;
    throw malformed(`model.tflite: expected one ${type} ${side} of ${count} values, got [${shape}]`);
  }
  checkClasses(info);
  checkStandardization(info, features);
  for (const [i, { samples, features: given, input, output }] of golden.entries()) {
    const fits =
      samples.every((sample) => sample.length === info.signal.fields.length) &&
      given.length === features &&
      input.length === features &&
      output.length === outputs;
    if (!fits) throw malformed(`golden.json: vector ${i} is not of the network's shape`);
  }
}

function checkEnd(graph: Graph, told: BundleInfo['input'], side: 'input' | 'output'): void {
  const { type, scale, zeroPoint } = read(() => endOf(graph, `${side}s`), 'model.tflite');
  if (type !== told.type) throw malformed(`bundle.json: ${side}: it is ${type}, not ${told.type}`);
  if (scale !== told.scale || zeroPoint !== told.zeroPoint) {
    throw malformed(`bundle.json: ${side}: scale and zero point are not those of model.tflite`);
  }
}

function outputsOf({ answer, classes }: BundleInfo, features: number): number {
  switch (answer.kind) {
    case 'classes':
      return classes.length;
    case 'probability':
      return 1;
    case 'value':
      return answer.names.length;
    case 'reconstruction':
      return features;
  }
}

function checkClasses({ answer, classes }: BundleInfo): void {
  const { kind } = answer;
  const fits = kind === 'classes' ? classes.length >= 2 : classes.length === (kind === 'value' ? 0 : 2);
  if (fits) return;
  const wanted = { classes: 'two or more', probability: 'two', reconstruction: 'two', value: 'no' }[kind];
  throw malformed(`bundle.json: classes: expected ${wanted} for ${kind}, got ${classes.length}`);
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

import type { Loss } from '../../engine/types.js';
import { type NetworkOutput, type NetworkSpec, outputSize } from '../../network/layers.js';

/** Standardized examples and their targets. */
export interface Part {
  /** [count × inputs], row-major. */
  inputs: Float32Array;
  inputSize: number;
  classes: Int32Array;
  /** Standardized values; null if the network does not predict values. */
  values: Float32Array | null;
}

/** Loss for each kind of prediction. Values and reconstructions use the squared error. */
export function lossOf(output: NetworkOutput['kind']): Loss {
  return output === 'classes' || output === 'probability' ? output : 'value';
}

/** Whether there are classes to predict. */
export function hasClasses(output: NetworkOutput['kind']): boolean {
  return output === 'classes' || output === 'probability';
}

/** Writes the named rows and their targets [rows × outputs] into buffers of sufficient length. */
export function fillBatch(
  { inputs, inputSize, classes, values }: Part,
  spec: NetworkSpec,
  rows: ArrayLike<number>,
  into: { inputs: Float32Array; targets: Float32Array },
): void {
  const outputs = outputSize(spec);
  const { kind } = spec.output;
  if (kind === 'classes') into.targets.fill(0, 0, rows.length * outputs);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const input = inputs.subarray(row * inputSize, (row + 1) * inputSize);
    into.inputs.set(input, i * inputSize);
    if (kind === 'classes') into.targets[i * outputs + classes[row]!] = 1;
    else if (kind === 'probability') into.targets[i] = classes[row]!;
    else if (kind === 'value') into.targets[i] = values![row]!;
    else into.targets.set(input, i * outputs);
  }
}

/** Per class, total / (classes · count), so that every class has the same weight in the loss, however many examples it has. */
function balancedWeights(classes: Int32Array, count: number): Float32Array {
  const seen = new Float64Array(count);
  for (const c of classes) seen[c]! += 1;
  return Float32Array.from(seen, (n) => (n === 0 ? 0 : classes.length / (count * n)));
}

/** Weight of each class in the loss, according to model.train.classWeights; null = 1. */
export function classFactors(
  classes: Int32Array,
  spec: Pick<NetworkSpec, 'output' | 'inputShape'>,
  by: 'balanced' | 'none',
): Float32Array | null {
  const { kind } = spec.output;
  if (by !== 'balanced' || !hasClasses(kind)) return null;
  return balancedWeights(classes, kind === 'probability' ? 2 : outputSize(spec));
}

import { type NetworkSpec, outputSize } from '../../network/layers.js';
import { hasClasses, type Part } from './part.js';

/** Mean loss over rows, each by its weight, and the share of right answers where there are classes. */
export interface Assessment {
  loss: number;
  accuracy: number | null;
}

/**
 * What an engine's outputs (logits, values, a reconstruction) cost, as the engine itself counts it: −log softmax of the true
 * class, the sigmoid's cross-entropy, or the mean squared error over the outputs.
 * @param weights one a class; null = 1
 */
export function assess(
  outputs: Float32Array,
  spec: NetworkSpec,
  part: Part,
  weights: Float32Array | null,
): Assessment {
  const width = outputSize(spec);
  const rows = outputs.length / width;
  let loss = 0;
  let right = 0;
  for (let row = 0; row < rows; row++) {
    const own = outputs.subarray(row * width, (row + 1) * width);
    loss += (weights?.[part.classes[row]!] ?? 1) * rowLoss(own, spec, part, row);
    if (isRight(own, spec, part.classes[row]!)) right++;
  }
  return { loss: loss / rows, accuracy: hasClasses(spec.output.kind) ? right / rows : null };
}

export function rowLoss(outputs: Float32Array, { output }: NetworkSpec, part: Part, row: number): number {
  switch (output.kind) {
    case 'classes': {
      let largest = Number.NEGATIVE_INFINITY;
      for (const z of outputs) if (z > largest) largest = z;
      let sum = 0;
      for (const z of outputs) sum += Math.exp(z - largest);
      return Math.log(sum) + largest - outputs[part.classes[row]!]!;
    }
    case 'probability': {
      const z = outputs[0]!;
      // log(1 + e^z) − t·z, without overflow.
      return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - part.classes[row]! * z;
    }
    case 'value':
      return (outputs[0]! - part.values![row]!) ** 2;
    case 'reconstruction':
      return distance(outputs, part.inputs, row);
  }
}

/** Mean squared distance of a reconstruction from the row of inputs that it is of. */
export function distance(outputs: Float32Array, inputs: Float32Array, row: number): number {
  const size = outputs.length;
  let sum = 0;
  for (let i = 0; i < size; i++) sum += (outputs[i]! - inputs[row * size + i]!) ** 2;
  return sum / size;
}

/** The class that a row of logits names. */
export function classOf(outputs: Float32Array, { output }: Pick<NetworkSpec, 'output'>): number {
  if (output.kind === 'probability') return outputs[0]! >= 0 ? 1 : 0;
  let best = 0;
  for (let c = 1; c < outputs.length; c++) if (outputs[c]! > outputs[best]!) best = c;
  return best;
}

function isRight(outputs: Float32Array, spec: NetworkSpec, truth: number): boolean {
  return hasClasses(spec.output.kind) && classOf(outputs, spec) === truth;
}

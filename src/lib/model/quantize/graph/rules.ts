import type { Operator, OperatorName, Quantization } from '../../../formats/tflite/graph.js';
import type { Kind } from '../types.js';

/** Output scale of an operator on integers: its own, a fixed one, or its input's. Other operators are rejected. */
export const outputRules: Partial<Record<OperatorName, 'own' | 'fixed' | 'input'>> = {
  FULLY_CONNECTED: 'own',
  CONV_2D: 'own',
  DEPTHWISE_CONV_2D: 'own',
  MEAN: 'own',
  RELU: 'own',
  LEAKY_RELU: 'own',
  ADD: 'own',
  SUB: 'own',
  MUL: 'own',
  CONCATENATION: 'own',
  MAX_POOL_2D: 'input',
  AVERAGE_POOL_2D: 'input',
  RESHAPE: 'input',
  EXPAND_DIMS: 'input',
  SQUEEZE: 'input',
  RELU6: 'input',
  PAD: 'input',
  PADV2: 'input',
  REDUCE_MAX: 'input',
  SPLIT: 'input',
  STRIDED_SLICE: 'input',
  TRANSPOSE: 'input',
  SOFTMAX: 'fixed',
  LOGISTIC: 'fixed',
  TANH: 'fixed',
};

const fixed = {
  SOFTMAX: { scale: [1 / 256], zeroPoint: [-128], axis: 0 },
  LOGISTIC: { scale: [1 / 256], zeroPoint: [-128], axis: 0 },
  TANH: { scale: [1 / 128], zeroPoint: [0], axis: 0 },
} satisfies Partial<Record<OperatorName, Quantization>>;

/** The output scale fixed by an operator's kernels; undefined if they fix none. */
export function fixedOutput(op: OperatorName, kind: Kind): Quantization | undefined {
  if (!(op in fixed)) return undefined;
  if (kind === 'int16') return { scale: [2 ** -15], zeroPoint: [0], axis: 0 };
  return fixed[op as keyof typeof fixed];
}

export type Weighted = Extract<Operator, { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' }>;

/** Operators with constant weights: those that are quantized per channel. */
export function isWeighted(operator: Operator): operator is Weighted {
  const { op } = operator;
  return op === 'FULLY_CONNECTED' || op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D';
}

/** Dimension of the output channels in a layer's weights. */
export function channelAxis(op: OperatorName): 0 | 3 {
  return op === 'DEPTHWISE_CONV_2D' ? 3 : 0;
}

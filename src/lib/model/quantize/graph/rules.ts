import type { Operator, OperatorName, Quantization } from '../../../formats/tflite/graph.js';
import { fixedScale, rowOf } from '../../../formats/tflite/operators.js';
import type { Kind } from '../types.js';

/**
 * Output scale of an operator on integers: its own (even if the inputs are converted to that scale), a fixed scale, its input's scale, or
 * none.
 */
export function outputRule(op: OperatorName): 'own' | 'fixed' | 'input' | undefined {
  const { scale } = rowOf(op);
  if (scale === 'joined') return 'own';
  return typeof scale === 'object' ? 'fixed' : scale;
}

/** Whether a float network with this operator can be quantized: the operator must not be a conversion itself. */
export function canQuantize(op: OperatorName): boolean {
  return op !== 'QUANTIZE' && op !== 'DEQUANTIZE';
}

/**
 * Whether the quantizer avoids the operator's int8 kernel: int8 rounds small divisors to 0, and TFLite Micro's DIV is undefined if the
 * output has a large scale.
 */
export function avoidsInt8(op: OperatorName): boolean {
  return op === 'DIV';
}

/** Whether the operator's first input is a variable. */
export function usesVariable({ op }: Pick<Operator, 'op'>): boolean {
  return op === 'READ_VARIABLE' || op === 'ASSIGN_VARIABLE';
}

/** The output scale that an operator's kernels prescribe; undefined if they do not prescribe one. */
export function fixedOutput(op: OperatorName, kind: Kind): Quantization | undefined {
  const fixed = fixedScale(op, kind === 'int16' ? 'int16' : 'int8');
  return fixed && { scale: [fixed[0]], zeroPoint: [fixed[1]], axis: 0 };
}

export type Weighted = Extract<Operator, { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' }>;

/** Whether the operator has constant weights. Such operators are quantized per channel. */
export function isWeighted(operator: Operator): operator is Weighted {
  const { op } = operator;
  return op === 'FULLY_CONNECTED' || op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D';
}

/** Positions of a layer's weights and bias; undefined for operators without weights. */
export function weightPlaces(op: OperatorName): readonly [weights: number, bias: number] | undefined {
  if (op === 'TRANSPOSE_CONV') return [1, 3];
  return op === 'FULLY_CONNECTED' || op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D' ? [1, 2] : undefined;
}

/** Dimension of the output channels in a layer's weights. */
export function channelAxis(op: OperatorName): 0 | 3 {
  return op === 'DEPTHWISE_CONV_2D' ? 3 : 0;
}

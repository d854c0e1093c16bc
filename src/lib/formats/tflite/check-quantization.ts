import { activationPlaces } from './activations.js';
import { malformed } from './errors.js';
import type { Graph, Operator, OperatorName, Quantization, Tensor } from './graph.js';

/** Operators that leave integers as they are: input and output must mean the same by them. */
const sameScale: readonly OperatorName[] = [
  'MAX_POOL_2D',
  'AVERAGE_POOL_2D',
  'RESHAPE',
  'EXPAND_DIMS',
  'SQUEEZE',
  'RELU6',
  'CONCATENATION',
  'PAD',
  'PADV2',
  'REDUCE_MAX',
  'SPLIT',
  'STRIDED_SLICE',
  'TRANSPOSE',
];

/** Output parameters that kernels take for granted, by operator and type. */
const fixedOutputs: Readonly<Record<string, [scale: number, zeroPoint: number]>> = {
  'LOGISTIC int8': [1 / 256, -128],
  'SOFTMAX int8': [1 / 256, -128],
  'TANH int8': [1 / 128, 0],
  'LOGISTIC int16': [2 ** -15, 0],
  'SOFTMAX int16': [2 ** -15, 0],
  'TANH int16': [2 ** -15, 0],
};

const weighted: readonly OperatorName[] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/**
 * Refuses integer operators whose scales TFLite Micro would not honour: it computes as if they were right, without a
 * word (quantization specification of TFLite; which of them TFLM checks itself is in its Prepare functions).
 * @throws AIOT_TFLITE_MALFORMED
 */
export function checkQuantization({ tensors, operators }: Graph): void {
  operators.forEach((operator, index) => {
    const { op, inputs, outputs } = operator;
    const where = `operator ${index} (${op})`;
    const taken = activationPlaces(operator).map((place) => tensors[inputs[place]!]!);
    const made = outputs.map((place) => tensors[place]!);
    for (const tensor of [...taken, ...made]) checkActivation(tensor, where);
    const [output] = made;
    if (op !== 'QUANTIZE' && op !== 'DEQUANTIZE')
      for (const { type } of [...taken, ...made])
        if (type !== output?.type && [...taken, ...made].some(isQuantized))
          throw malformed(where, `expected inputs and outputs of one type, got ${output?.type} and ${type}`);
    if (output === undefined || !isQuantized(output)) return;
    if (sameScale.includes(op))
      for (const tensor of [...taken, ...made])
        if (!equal(tensor.quantization, output.quantization, op === 'REDUCE_MAX' ? 0 : 1e-6))
          throw malformed(where, 'expected inputs and outputs to have the same scale and zero point');
    checkOptions(operator, output, where);
    const fixed = fixedOutputs[`${op} ${output.type}`];
    if (
      fixed &&
      (output.quantization?.scale[0] !== fixed[0] || output.quantization.zeroPoint[0] !== fixed[1])
    )
      throw malformed(where, `expected an output of scale ${fixed[0]}, zero point ${fixed[1]}`);
    if (!weighted.includes(op)) return;
    const [, weights, bias] = inputs.map((place) => tensors[place]);
    if (weights?.type !== 'int8' || weights.quantization?.zeroPoint.some((zero) => zero !== 0) !== false)
      throw malformed(where, 'expected symmetric int8 weights (all zero points 0)');
    if (bias !== undefined && bias.type !== 'int32' && !(bias.type === 'int64' && output.type === 'int16'))
      throw malformed(where, `a bias of ${bias.type}`);
  });
}

/** Options that TFLite Micro refuses, or leaves unread, on integers. */
function checkOptions({ op, inputs, options }: Operator, output: Tensor, where: string): void {
  if (op === 'CONCATENATION' && inputs.length > 10)
    throw malformed(where, `expected at most 10 inputs, got ${inputs.length}`);
  if (op === 'CONCATENATION' && options.activation !== 'none')
    throw malformed(where, `a fused activation (${options.activation})`);
  if ((op === 'ADD' || op === 'SUB') && output.type === 'int16' && options.potScaleInt16 !== false)
    throw malformed(where, 'expected potScaleInt16 to be false');
}

function isQuantized({ type }: Tensor): boolean {
  return type === 'int8' || type === 'int16';
}

function checkActivation(tensor: Tensor, where: string): void {
  if (!isQuantized(tensor)) return;
  const { scale, zeroPoint } = tensor.quantization ?? { scale: [], zeroPoint: [] };
  const most = tensor.type === 'int8' ? 127 : 0;
  if (scale.length !== 1 || !(scale[0]! > 0))
    throw malformed(where, `expected tensor ${tensor.name} to have one scale above 0`);
  if (!(zeroPoint[0]! >= (tensor.type === 'int8' ? -128 : 0) && zeroPoint[0]! <= most))
    throw malformed(where, `the zero point ${zeroPoint[0]} of ${tensor.name} does not fit ${tensor.type}`);
}

/** Scales may differ by a share of the larger: rounding noise of whatever wrote the file. */
function equal(a: Quantization | undefined, b: Quantization | undefined, share: number): boolean {
  const [one, other] = [a?.scale[0] ?? Number.NaN, b?.scale[0] ?? Number.NaN];
  return Math.abs(one - other) <= share * Math.max(one, other) && a?.zeroPoint[0] === b?.zeroPoint[0];
}

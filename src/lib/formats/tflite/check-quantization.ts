import { malformed } from './errors.js';
import type { Graph, OperatorName, Quantization, Tensor } from './graph.js';

/** Operators that leave integers as they are: input and output must mean the same by them. */
const sameScale: readonly OperatorName[] = [
  'MAX_POOL_2D',
  'AVERAGE_POOL_2D',
  'RESHAPE',
  'EXPAND_DIMS',
  'SQUEEZE',
  'RELU6',
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
  operators.forEach(({ op, inputs, outputs }, index) => {
    const where = `operator ${index} (${op})`;
    const [input, weights, bias] = inputs.map((place) => tensors[place]);
    const output = tensors[outputs[0]!]!;
    for (const tensor of [input, output]) if (tensor !== undefined) checkActivation(tensor, where);
    if (!isQuantized(output)) return;
    if (sameScale.includes(op) && !equal(input?.quantization, output.quantization))
      throw malformed(where, 'expected input and output to have the same scale and zero point');
    const fixed = fixedOutputs[`${op} ${output.type}`];
    if (
      fixed &&
      (output.quantization?.scale[0] !== fixed[0] || output.quantization.zeroPoint[0] !== fixed[1])
    )
      throw malformed(where, `expected an output of scale ${fixed[0]}, zero point ${fixed[1]}`);
    if (!weighted.includes(op)) return;
    if (weights?.type !== 'int8' || weights.quantization?.zeroPoint.some((zero) => zero !== 0) !== false)
      throw malformed(where, 'expected symmetric int8 weights (all zero points 0)');
    if (bias !== undefined && bias.type !== 'int32' && !(bias.type === 'int64' && output.type === 'int16'))
      throw malformed(where, `a bias of ${bias.type}`);
  });
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

function equal(a: Quantization | undefined, b: Quantization | undefined): boolean {
  return (
    Math.abs((a?.scale[0] ?? Number.NaN) - (b?.scale[0] ?? Number.NaN)) <= 1e-6 &&
    a?.zeroPoint[0] === b?.zeroPoint[0]
  );
}

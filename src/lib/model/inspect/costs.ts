import { AiotError } from '../../core/errors.js';
import { scalesAlike } from '../../formats/tflite/check.js';
import {
  elementCount,
  type Graph,
  hasForest,
  type Operator,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../formats/tflite/operators.js';
import { arenaBytes } from '../../runtime/arena.js';
import { isQuotientDefined } from '../../runtime/index.js';

/** Operators whose multiply-adds cannot be derived from shapes, or depend on subgraphs that the operators call. */
const unknown: readonly string[] = [
  'BIDIRECTIONAL_SEQUENCE_LSTM',
  'BIDIRECTIONAL_SEQUENCE_RNN',
  'CALL',
  'CONV_3D',
  'CONV_3D_TRANSPOSE',
  'CUSTOM',
  'DELEGATE',
  'IF',
  'LSTM',
  'RNN',
  'UNIDIRECTIONAL_SEQUENCE_RNN',
  'WHILE',
];

/**
 * Multiply-adds for one run of an operator, from the shapes; 0 if negligible, null if the shapes are not sufficient. Weight layouts as in
 * the TFLite schema.
 * @param inputs the inputs' shapes; undefined for an omitted input
 */
export function macsOf(
  op: string,
  inputs: readonly (readonly number[] | undefined)[],
  output: readonly number[] | undefined,
): number | null {
  const made = elementCount(output ?? [0]);
  const signal = /^(?:CUSTOM Signal|SIGNAL_)(.+)$/.exec(op)?.[1]?.replaceAll('_', '').toUpperCase();
  if (signal !== undefined) return frontEndMacs(signal, inputs, output ?? [0]);
  const [first = 0, height = 1, width = 1, channels = 1] = inputs[1] ?? [];
  switch (op) {
    case 'FULLY_CONNECTED':
      return made * height;
    case 'CONV_2D':
      return made * height * width * channels;
    case 'DEPTHWISE_CONV_2D':
      return made * first * height * width;
    case 'TRANSPOSE_CONV':
      return elementCount(inputs[2] ?? [0]) * first * height * width;
    case 'BATCH_MATMUL':
      return made * (inputs[0]?.at(-1) ?? 0);
    case 'UNIDIRECTIONAL_SEQUENCE_LSTM': {
      // Each of the four gates multiplies both the input and the hidden state by weights.
      const [[, inside = 0] = [], [, units = 0] = []] = [inputs[1], inputs[5]];
      return 4 * made * (inside + units);
    }
    case 'SVDF':
      return (inputs[0]?.[0] ?? 0) * (elementCount(inputs[1] ?? [0]) + elementCount(inputs[2] ?? [0]));
    default:
      return unknown.includes(op.split(' ')[0]!) || op.startsWith('BUILTIN_') || op.startsWith('STABLEHLO')
        ? null
        : 0;
  }
}

/**
 * Multiply-adds of an operator of TFLite Micro's audio front end. A transform of n samples has n / 2 complex values, and takes n / 4 · log2
 * (n / 2) complex products.
 */
function frontEndMacs(
  name: string,
  inputs: readonly (readonly number[] | undefined)[],
  output: readonly number[],
): number {
  const [made, samples] = [elementCount(output), (output.at(-1) ?? 2) - 2];
  // An inverse transform has as many samples as values per row.
  if (name === 'IRFFT') return Math.round(made * Math.log2((samples + 2) / 2));
  if (name === 'RFFT')
    return samples < 4 ? 0 : Math.round((made / (samples + 2)) * samples * Math.log2(samples / 2));
  if (name === 'FILTERBANK') return 2 * elementCount(inputs[1] ?? [0]);
  return name === 'ENERGY' ? 2 * made : name === 'WINDOW' ? made : 0;
}

/** Multiply-adds for one run of an operator in a graph; 0 if negligible. */
export function multiplyAdds(graph: Graph, { op, inputs, outputs }: Operator): number {
  const shapes = inputs.map((index) => graph.tensors[index]?.shape);
  return macsOf(op, shapes, graph.tensors[outputs[0] ?? -1]?.shape) ?? 0;
}

/** Multiply-adds for one run of a graph. */
export function graphMacs(graph: Graph): number {
  return graph.operators.reduce((sum, operator) => sum + multiplyAdds(graph, operator), 0);
}

/**
 * Number of trained values: the constants of weighted operators, each counted once, even if read through a DEQUANTIZE (float16).
 */
export function parameterCount(
  operators: readonly { op: string; inputs: readonly number[]; outputs: readonly number[] }[],
  tensors: readonly { shape: readonly number[]; constant: boolean }[],
): number {
  const widened = new Map(
    operators.flatMap(({ op, inputs, outputs }) =>
      op === 'DEQUANTIZE' ? [[outputs[0]!, inputs[0]!] as const] : [],
    ),
  );
  const weights = new Set(
    operators
      .filter(({ op }) => weighted.includes(op))
      .flatMap(({ inputs }) => inputs.slice(1))
      .map((index) => widened.get(index) ?? index),
  );
  return tensors.reduce(
    (sum, { constant, shape }, i) => (constant && weights.has(i) ? sum + elementCount(shape) : sum),
    0,
  );
}

const weighted: readonly string[] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'TRANSPOSE_CONV',
  'SVDF',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
  'CONV_3D',
];

/**
 * Size of the arena that TFLite Micro needs for a network, in bytes (see `arenaBytes`). Null for float16 and dynamic range, which TFLite
 * Micro rejects. 0 for decision trees, which run as generated C and need no memory besides their input and output.
 */
export function arenaOf(graph: Graph): number | null {
  if (hasForest(graph)) return 0;
  return refusalOfMicro(graph) === null ? arenaBytes(graph) : null;
}

/**
 * A sentence that explains why TFLite Micro rejects the network, or computes different results than LiteRT; null if neither is the case.
 * Measured with tflite-micro from PyPI, which has fewer int16 kernels, whose RELU6 ignores the output's scale, and whose int8 DIV is
 * undefined for large output scales.
 */
export function refusalOfMicro(graph: Graph): string | null {
  const refusal = refusalOfDevice(graph);
  if (refusal !== null) return refusal;
  for (const [index, { op, inputs, outputs }] of graph.operators.entries()) {
    const [place = 0] = activationPlaces(graph.operators[index]!);
    const taken = graph.tensors[inputs[place]!];
    if (rowOf(op).micro.lacks?.some((type) => type === taken?.type))
      return `TFLite Micro has no ${taken?.type} kernel for operator ${index} (${op})`;
    const isInteger = taken?.type === 'int8' || taken?.type === 'int16';
    if (op === 'RELU6' && isInteger && !scalesAlike(taken, graph.tensors[outputs[0]!]))
      return `TFLite Micro ignores that the output of operator ${index} (RELU6) has another scale than its input`;
    if (op === 'DIV' && taken?.type === 'int8' && !isDivisionDefined(graph, index))
      return `TFLite Micro's results for small dividends of operator ${index} (DIV) are undefined, because its output scale is too large`;
  }
  return null;
}

/** Whether TFLite Micro's int8 DIV is defined for the scales of an operator and for its largest divisor. */
function isDivisionDefined({ tensors, operators }: Graph, index: number): boolean {
  const { inputs, outputs } = operators[index]!;
  const places = [inputs[0]!, inputs[1]!, outputs[0]!] as const;
  const [a = 0, b = 0, output = 0] = places.map((place) => tensors[place]!.quantization?.scale[0]);
  const { data, quantization } = tensors[inputs[1]!]!;
  const zero = quantization?.zeroPoint[0] ?? 0;
  const divisors = data instanceof Int8Array ? [...data] : [-128, 127];
  return isQuotientDefined(
    a / (b * output),
    Math.max(...divisors.map((divisor) => Math.abs(divisor - zero))),
  );
}

/**
 * A sentence that explains why devices reject the network; null if they accept it. Neither the devices' interpreter nor TFLite Micro has
 * kernels for float32 activations with int8 weights, nor for DEQUANTIZE from float16.
 */
export function refusalOfDevice(graph: Graph): string | null {
  const dynamic = dynamicOperator(graph);
  if (dynamic)
    return `TFLite Micro has no kernel for operator ${dynamic.index} (${dynamic.operator.op}): int8 weights with float32 activations (dynamic range)`;
  const half = float16Operator(graph);
  if (half) return `TFLite Micro has no kernel for operator ${half.index} (DEQUANTIZE): float16 weights`;
  return null;
}

/** @throws AIOT_TFLITE_UNSUPPORTED for dynamic range and float16, for which devices have no kernels */
export function refuseOffDevice(graph: Graph): void {
  const refusal = refusalOfDevice(graph);
  if (refusal === null) return;
  throw new AiotError('AIOT_TFLITE_UNSUPPORTED', `devices cannot run this model: ${refusal}`, {
    next: 'Evaluate it with --runtime litert, or create a version for devices with `aiot model quantize FLOAT.tflite --mode int8`.',
  });
}

/** A network's data type: `none` without weights, `forest` for decision trees, which sum in int32 between float32 inputs and outputs. */
export type Precision = 'float32' | 'float16' | 'dynamic' | 'int8' | 'int16x8' | 'mixed' | 'forest' | 'none';

const weightedOps: readonly string[] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'TRANSPOSE_CONV',
  'SVDF',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
];

/** An operator with int8 weights and float32 activations (dynamic range), with its index; undefined if there is none. */
function dynamicOperator(graph: Graph): { index: number; operator: Operator } | undefined {
  const index = graph.operators.findIndex((operator) => precisionAt(graph, operator) === 'dynamic');
  return index < 0 ? undefined : { index, operator: graph.operators[index]! };
}

/** A DEQUANTIZE of float16 weights, with its index; undefined if there is none. */
function float16Operator(graph: Graph): { index: number; operator: Operator } | undefined {
  const index = graph.operators.findIndex(
    ({ op, inputs }) => op === 'DEQUANTIZE' && graph.tensors[inputs[0]!]?.type === 'float16',
  );
  return index < 0 ? undefined : { index, operator: graph.operators[index]! };
}

/** How a whole network is quantized, as named by `model quantize --mode`. */
export function precisionOf(graph: Graph): Precision {
  if (hasForest(graph)) return 'forest';
  if (float16Operator(graph)) return 'float16';
  const found = new Set(
    graph.operators
      .filter(({ op }) => weightedOps.includes(op))
      .map((operator) => precisionAt(graph, operator)),
  );
  // Small tensors in a dynamic-range file stay float32.
  if (found.has('dynamic') && !found.has('int8') && !found.has('int16x8')) return 'dynamic';
  const [first] = found;
  if (first === undefined) return 'none';
  return found.size === 1 ? first : 'mixed';
}

/** Data type in which one operator computes. Without weights, the type of the operator's first activation. */
export function precisionAt({ tensors }: Pick<Graph, 'tensors'>, operator: Operator): Precision {
  const { op, inputs } = operator;
  const typeOf = (index = -1): Tensor['type'] | undefined => tensors[index]?.type;
  const activation = typeOf(inputs[activationPlaces(operator)[0]!]);
  if (activation === 'float32')
    return weightedOps.includes(op) && typeOf(inputs[1]) === 'int8' ? 'dynamic' : 'float32';
  if (activation === 'int8') return 'int8';
  if (activation === 'int16') return 'int16x8';
  return activation === 'float16' ? 'float16' : 'none';
}

import { elementCount, type Graph, type Operator } from '../../formats/index.js';

/** Operators whose multiply-adds depend on more than shapes, or on what they call. */
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
  'SVDF',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
  'UNIDIRECTIONAL_SEQUENCE_RNN',
  'WHILE',
];

/**
 * Multiply-adds of one run of an operator, from its shapes; 0 where there are none to speak of, null where shapes do not
 * tell. Layouts of weights as in the TFLite schema.
 * @param inputs shapes of its inputs; undefined where one is left out
 */
export function macsOf(
  op: string,
  inputs: readonly (readonly number[] | undefined)[],
  output: readonly number[] | undefined,
): number | null {
  const made = elementCount(output ?? [0]);
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
    default:
      return unknown.includes(op.split(' ')[0]!) || op.startsWith('BUILTIN_') || op.startsWith('STABLEHLO')
        ? null
        : 0;
  }
}

/** Multiply-adds of one run of an operator of a graph; 0 where there are none to speak of. */
export function multiplyAdds(graph: Graph, { op, inputs, outputs }: Operator): number {
  const shapes = inputs.map((index) => graph.tensors[index]?.shape);
  return macsOf(op, shapes, graph.tensors[outputs[0] ?? -1]?.shape) ?? 0;
}

/**
 * Trained values: constants of operators that have weights, each counted once; also those that a DEQUANTIZE widens on the way
 * (float16).
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
  'CONV_3D',
];

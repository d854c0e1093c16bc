import type { Operator, OperatorName, OperatorOptions, Tensor } from './graph.js';
import {
  activation,
  flag,
  float,
  integer,
  integers,
  type OptionField,
  optionalFlag,
  optionalType,
  padding,
  positive,
  unlessFalse,
  zero,
} from './option-fields.js';

const pool = (code: number): SharedRow => ({
  code,
  optionsType: 5,
  fields: [
    padding(0),
    positive(1, 'strideW'),
    positive(2, 'strideH'),
    positive(3, 'filterW'),
    positive(4, 'filterH'),
    activation(5),
  ],
  inputs: [1, 1],
  version: quantizedSince(2),
  since: { 1: '1.5.0', 2: '1.14.0' },
});

const elementwise = (code: number, since: SharedRow['since']): SharedRow => ({
  code,
  optionsType: 0,
  fields: [],
  inputs: [1, 1],
  version: quantizedSince(2),
  since,
});

const sum = (code: number, optionsType: number, since: string): SharedRow => ({
  code,
  optionsType,
  fields: [activation(0), unlessFalse(1, 'potScaleInt16')],
  inputs: [2, 2],
  version: quantizedSince(2),
  since: { 1: since, 2: '1.14.0' },
});

/** Version 1 for float, `int8` for int8 (and int16, for which TensorFlow 2.18's converter writes the same numbers). */
const quantizedSince =
  (int8: number) =>
  ({ output }: { output: Tensor }) =>
    output.type === 'int8' || output.type === 'int16' ? int8 : 1;

const reduction = (code: number, since: string): SharedRow => ({
  code,
  optionsType: 27,
  fields: [flag(0, 'keepDims')],
  inputs: [2, 2],
  version: quantizedSince(2),
  since: { 1: since, 2: '1.14.0' },
});

/** Operators that compute with activations on both sides, and reductions. */
const arithmeticRows = {
  ADD: sum(0, 11, '1.5.0'),
  SUB: sum(41, 28, '1.6.0'),
  MUL: {
    code: 18,
    optionsType: 21,
    fields: [activation(0)],
    inputs: [2, 2],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
  },
  MEAN: reduction(40, '1.6.0'),
  REDUCE_MAX: reduction(82, '1.11.0'),
  LEAKY_RELU: {
    code: 98,
    optionsType: 75,
    fields: [float(0, 'alpha')],
    inputs: [1, 1],
    version: ({ output }) => (output.type === 'int16' ? 2 : 1),
    since: { 1: '1.13.1', 2: '2.3.0' },
  },
} satisfies { [Name in OperatorName]?: Row<Name> };

const padRow = (code: number, optionsType: number, inputs: number, since: string): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [inputs, inputs],
  version: byRank(4, 4),
  since: { 1: since, 2: '1.14.0', 4: '2.6.0' },
});

/** Version 2 for integers, `wide` for tensors of more than `rank` dimensions. */
const byRank =
  (rank: number, wide: number) =>
  (use: Pick<Use<OperatorName>, 'inputs' | 'output'>): number =>
    (use.inputs[0]?.shape.length ?? 0) > rank ? wide : quantizedSince(2)(use);

/** Operators that only move elements or change the shape. */
const movingRows = {
  CONCATENATION: {
    code: 2,
    optionsType: 10,
    fields: [integer(0, 'axis'), activation(1)],
    inputs: [1, 1024],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
  },
  PAD: padRow(34, 22, 2, '1.5.0'),
  PADV2: padRow(60, 43, 3, '1.9.0'),
  TRANSPOSE: {
    code: 39,
    optionsType: 26,
    fields: [],
    inputs: [2, 2],
    version: byRank(4, 4),
    since: { 1: '1.6.0', 2: '1.14.0', 4: '2.3.0' },
  },
  SPLIT: {
    code: 49,
    optionsType: 35,
    fields: [positive(0, 'numSplits')],
    inputs: [2, 2],
    outputs: ({ numSplits }) => numSplits,
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
  },
  STRIDED_SLICE: {
    code: 45,
    optionsType: 32,
    fields: [
      integer(0, 'beginMask'),
      integer(1, 'endMask'),
      zero(2, 'ellipsis mask', 4),
      zero(3, 'new axis mask', 4),
      integer(4, 'shrinkAxisMask'),
      zero(5, 'offset'),
    ],
    inputs: [4, 4],
    version: byRank(4, 4),
    since: { 1: '1.6.0', 2: '1.14.0', 4: '2.2.0' },
  },
  RESHAPE: {
    code: 22,
    optionsType: 17,
    fields: [integers(0, 'newShape')],
    inputs: [1, 2],
    version: () => 1,
    since: { 1: '1.5.0' },
  },
  EXPAND_DIMS: {
    code: 70,
    optionsType: 52,
    fields: [],
    inputs: [2, 2],
    version: () => 1,
    since: { 1: '1.10.0' },
  },
  SQUEEZE: {
    code: 43,
    optionsType: 30,
    fields: [integers(0, 'squeezeDims')],
    inputs: [1, 1],
    version: () => 1,
    since: { 1: '1.6.0' },
  },
} satisfies { [Name in OperatorName]?: Row<Name> };

/**
 * All properties of each operator in a file; a new operator needs one more row here (and its type in graph.ts,
 * its kernel in the runtime module). Codes, slots and options: the TFLite schema. Versions: those written by the converter of
 * TensorFlow 2.18; `since`: TensorFlow's table of minimum runtime versions (tools/versioning).
 */
export const operatorRows: { readonly [Name in OperatorName]: Row<Name> } = {
  FULLY_CONNECTED: {
    code: 9,
    optionsType: 8,
    fields: [
      activation(0),
      zero(1, 'weights format'),
      flag(2, 'keepNumDims'),
      optionalFlag(3, 'asymmetricQuantizeInputs'),
      optionalType(4, 'quantizedBiasType'),
    ],
    inputs: [2, 3],
    version: (use) => {
      const plain = use.options.keepNumDims ? 5 : quantizedSince(4)(use);
      return weighted(use, [use.options.asymmetricQuantizeInputs ? 9 : 3, 12], plain);
    },
    since: { 1: '1.5.0', 3: '1.14.0', 4: '1.14.0', 5: '2.0.0', 9: '2.3.0', 12: '2.17.0' },
  },
  CONV_2D: {
    code: 3,
    optionsType: 1,
    fields: [
      padding(0),
      positive(1, 'strideW'),
      positive(2, 'strideH'),
      activation(3),
      positive(4, 'dilationW', 1),
      positive(5, 'dilationH', 1),
      optionalType(6, 'quantizedBiasType'),
    ],
    inputs: [2, 3],
    version: (use) => {
      const grouped = use.inputs[0]?.shape[3] !== use.inputs[1]?.shape[3];
      return grouped ? 6 : weighted(use, [2, 5], quantizedSince(3)(use));
    },
    since: { 1: '1.5.0', 2: '1.14.0', 3: '1.14.0', 5: '2.4.0', 6: '2.9.0' },
  },
  DEPTHWISE_CONV_2D: {
    code: 4,
    optionsType: 2,
    fields: [
      padding(0),
      positive(1, 'strideW'),
      positive(2, 'strideH'),
      positive(3, 'depthMultiplier'),
      activation(4),
      positive(5, 'dilationW', 1),
      positive(6, 'dilationH', 1),
    ],
    inputs: [2, 3],
    version: (use) => {
      const dilated = use.options.dilationH > 1 || use.options.dilationW > 1;
      return weighted(use, [4, 6], Math.max(quantizedSince(3)(use), dilated ? 2 : 1));
    },
    since: { 1: '1.5.0', 2: '1.12.0', 3: '1.14.0', 4: '2.2.0', 6: '2.3.0' },
  },
  ...arithmeticRows,
  ...movingRows,
  MAX_POOL_2D: pool(17),
  AVERAGE_POOL_2D: pool(1),
  SOFTMAX: {
    code: 25,
    optionsType: 9,
    fields: [float(0, 'beta')],
    inputs: [1, 1],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
  },
  LOGISTIC: elementwise(14, { 1: '1.14.0', 2: '1.14.0' }),
  TANH: elementwise(28, { 1: '1.14.0', 2: '1.14.0' }),
  RELU: elementwise(19, { 1: '1.5.0', 2: '2.1.0' }),
  RELU6: elementwise(21, { 1: '1.5.0', 2: '1.14.0' }),
  QUANTIZE: {
    code: 114,
    optionsType: 89,
    fields: [],
    inputs: [1, 1],
    version: ({ inputs, output }) => (output.type === 'int16' && inputs[0]?.type !== 'float32' ? 2 : 1),
    since: { 1: '1.14.0', 2: '1.15.0' },
  },
  DEQUANTIZE: {
    code: 6,
    optionsType: 38,
    fields: [],
    inputs: [1, 1],
    version: ({ inputs }) => (inputs[0]?.type === 'float16' ? 3 : 2),
    since: { 2: '1.14.0', 3: '1.15.0' },
  },
};

const byCode = new Map(
  (Object.keys(operatorRows) as OperatorName[]).map((op) => [operatorRows[op].code, op]),
);

/** The operator with this builtin code, or undefined if it has no row here. */
export function operatorOf(code: number): OperatorName | undefined {
  return byCode.get(code);
}

/** Kernel version of one use. */
export function versionOf(operator: Operator, tensors: readonly Tensor[]): number {
  const use = {
    options: operator.options,
    inputs: operator.inputs.map((index) => tensors[index]),
    output: tensors[operator.outputs[0]!]!,
  };
  // Each row takes its own operator's options, which the discriminated union guarantees.
  return (operatorRows[operator.op].version as (use: Use<OperatorName>) => number)(use);
}

/** Properties that determine a version. */
interface Use<Name extends OperatorName> {
  options: OperatorOptions[Name];
  /** Types of the inputs (undefined if omitted) and of the first output. */
  inputs: (Tensor | undefined)[];
  output: Tensor;
}

interface Row<Name extends OperatorName> {
  /** Number in the schema's BuiltinOperator. */
  code: number;
  /** Number in the schema's union BuiltinOptions; 0 = no options table. */
  optionsType: number;
  fields: OptionField[];
  /** Minimum and maximum number of inputs. */
  inputs: [least: number, most: number];
  /** Number of outputs, if it is not one. */
  outputs?: (options: OperatorOptions[Name]) => number;
  /** The oldest kernel version that supports the use. */
  version: (use: Use<Name>) => number;
  /** Version → the first TensorFlow release that includes it. */
  since: Readonly<Record<number, string>>;
}

/** A row for several operators: its version depends on no option. */
type SharedRow = Omit<Row<OperatorName>, 'version' | 'outputs'> & {
  version: (use: Pick<Use<OperatorName>, 'inputs' | 'output'>) => number;
};

/** int8 constants under float activations (dynamic range): `perTensor` or `perChannel` kernels; otherwise `other`. */
function weighted(
  { inputs, output }: Use<OperatorName>,
  [perTensor, perChannel]: [number, number],
  other: number,
): number {
  const weights = inputs[1];
  if (output.type !== 'float32' || weights?.type !== 'int8') return other;
  return (weights.quantization?.scale.length ?? 0) > 1 ? perChannel : perTensor;
}

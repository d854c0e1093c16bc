import type { Operator, OperatorName, Tensor } from './graph.js';
import { quantizedSince, type Row, type SharedRow, type Use, weighted } from './operator-row.js';
import { arithmeticRows } from './operators-arithmetic.js';
import { movingRows } from './operators-moving.js';
import {
  activation,
  flag,
  float,
  optionalFlag,
  optionalType,
  padding,
  positive,
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

/**
 * All that is known of each operator's place in a file; a further operator is one more row (and its type in graph.ts,
 * its kernel in the runtime room). Codes, slots and options: the TFLite schema. Versions: those the converter of
 * TensorFlow 2.18 writes; `since`: TensorFlow's table of minimum runtime versions (tools/versioning).
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

/** The operator with this builtin code, or undefined when it has no row here. */
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

import type { OperatorName } from './graph.js';
import { quantizedSince, type Row, type SharedRow } from './operator-row.js';
import { activation, flag, float, unlessFalse } from './option-fields.js';

const sum = (code: number, optionsType: number, since: string): SharedRow => ({
  code,
  optionsType,
  fields: [activation(0), unlessFalse(1, 'potScaleInt16')],
  inputs: [2, 2],
  version: quantizedSince(2),
  since: { 1: since, 2: '1.14.0' },
});

const reduction = (code: number, since: string): SharedRow => ({
  code,
  optionsType: 27,
  fields: [flag(0, 'keepDims')],
  inputs: [2, 2],
  version: quantizedSince(2),
  since: { 1: since, 2: '1.14.0' },
});

/** Rows of the operators that compute with activations on both sides, and of reductions. */
export const arithmeticRows = {
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

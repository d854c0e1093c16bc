import type { OperatorName } from './graph.js';
import { quantizedSince, type Row, type SharedRow, type Use } from './operator-row.js';
import { activation, integer, integers, positive, zero } from './option-fields.js';

/** Version 2 for integers, `wide` for tensors of more than `rank` dimensions. */
const byRank =
  (rank: number, wide: number) =>
  (use: Pick<Use<OperatorName>, 'inputs' | 'output'>): number =>
    (use.inputs[0]?.shape.length ?? 0) > rank ? wide : quantizedSince(2)(use);

const padding = (code: number, optionsType: number, inputs: number, since: string): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [inputs, inputs],
  version: byRank(4, 4),
  since: { 1: since, 2: '1.14.0', 4: '2.6.0' },
});

/** Rows of the operators that move elements or change the shape, and compute nothing. */
export const movingRows = {
  CONCATENATION: {
    code: 2,
    optionsType: 10,
    fields: [integer(0, 'axis'), activation(1)],
    inputs: [1, 1024],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
  },
  PAD: padding(34, 22, 2, '1.5.0'),
  PADV2: padding(60, 43, 3, '1.9.0'),
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

import type { OperatorName } from '../graph.js';
import { activation, flag, integer, integers, optionalType, positive, zero } from '../option-fields.js';
import { byRank, byType, micro, quantizedSince, type Row, type SharedRow } from './row.js';

const reduction = (
  code: number,
  since: SharedRow['since'],
  rest: Pick<SharedRow, 'scale' | 'micro'> & Partial<SharedRow>,
): SharedRow => ({
  code,
  optionsType: 27,
  fields: [flag(0, 'keepDims')],
  inputs: [2, 2],
  version: quantizedSince(2),
  since,
  cost: 'reduction',
  ...rest,
});

/** Operators that reduce each of the selected axes to one value. */
export const reductionRows = {
  MEAN: reduction(40, { 1: '1.6.0', 2: '1.14.0' }, { scale: 'own', micro: micro('AddMean', 44, 16) }),
  SUM: reduction(74, { 1: '1.10.0', 2: '1.15.0' }, { scale: 'own', micro: micro('AddSum', 44, 16) }),
  REDUCE_MAX: reduction(
    82,
    { 1: '1.11.0', 2: '1.14.0', 3: '2.5.0' },
    {
      version: byType(2, 3),
      scale: 'input',
      micro: micro('AddReduceMax', 44, 16, 'int16'),
    },
  ),
  REDUCE_MIN: reduction(
    89,
    { 1: '1.11.0', 2: '1.14.0', 3: '2.5.0' },
    {
      version: byType(2, 3),
      scale: 'input',
      micro: micro('AddReduceMin', 44, 16, 'int16'),
    },
  ),
  ARG_MAX: {
    code: 56,
    optionsType: 40,
    fields: [optionalType(0, 'outputType')],
    inputs: [2, 2],
    version: byType(2),
    since: { 1: '1.9.0', 2: '1.14.0' },
    yields: 'int32',
    cost: 'reduction',
    micro: micro('AddArgMax'),
  },
  ARG_MIN: {
    code: 79,
    optionsType: 57,
    fields: [optionalType(0, 'outputType')],
    inputs: [2, 2],
    version: byType(2),
    since: { 1: '1.9.0', 2: '1.14.0' },
    yields: 'int32',
    cost: 'reduction',
    micro: micro('AddArgMin'),
  },
} satisfies { [Name in OperatorName]?: Row<Name> };

/** An operator that copies elements of its first input. */
const move = (
  code: number,
  optionsType: number,
  inputs: number,
  since: SharedRow['since'],
  rest: Pick<SharedRow, 'micro'> & Partial<SharedRow>,
): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [inputs, inputs],
  version: () => 1,
  since,
  scale: 'input',
  cost: 'copy',
  ...rest,
});

const inBlocks: SharedRow['version'] = (use) => (use.inputs[0]?.shape.length === 4 ? byType(2)(use) : 3);

/** Either resize option needs version 3. Options in files with a lower version are read in the same way. */
const resized: SharedRow['version'] = (use) => (use.inputs[0]?.type === 'int16' ? 4 : 3);

const pad = (
  code: number,
  optionsType: number,
  inputs: number,
  since: string,
  method: string,
): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [inputs, inputs],
  version: byRank(4, 4),
  since: { 1: since, 2: '1.14.0', 4: '2.6.0' },
  activations: inputs === 3 ? [0, 2] : [0],
  scale: 'input',
  cost: 'copy',
  micro: micro(method, 56),
});

/** Operators that only move elements or change the shape. */
export const movingRows = {
  CONCATENATION: {
    code: 2,
    optionsType: 10,
    fields: [integer(0, 'axis'), activation(1)],
    inputs: [1, 1024],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
    activations: 'all',
    scale: 'joined',
    cost: 'copy',
    micro: micro('AddConcatenation', 72, 16),
  },
  PAD: pad(34, 22, 2, '1.5.0', 'AddPad'),
  PADV2: pad(60, 43, 3, '1.9.0', 'AddPadV2'),
  TRANSPOSE: {
    code: 39,
    optionsType: 26,
    fields: [],
    inputs: [2, 2],
    version: byRank(4, 4),
    since: { 1: '1.6.0', 2: '1.14.0', 4: '2.3.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddTranspose'),
  },
  SPLIT: {
    code: 49,
    optionsType: 35,
    fields: [positive(0, 'numSplits')],
    inputs: [2, 2],
    outputs: ({ numSplits }) => numSplits,
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
    activations: [1],
    scale: 'input',
    cost: 'copy',
    micro: micro('AddSplit', 0, 8),
  },
  SPLIT_V: {
    code: 102,
    optionsType: 79,
    fields: [positive(0, 'numSplits')],
    inputs: [3, 3],
    outputs: ({ numSplits }) => numSplits,
    version: quantizedSince(2),
    since: { 1: '1.13.1', 2: '2.3.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddSplitV', 0, 8),
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
    scale: 'input',
    cost: 'copy',
    micro: micro('AddStridedSlice', 96, 24),
  },
  RESHAPE: {
    code: 22,
    optionsType: 17,
    fields: [integers(0, 'newShape')],
    inputs: [1, 2],
    version: () => 1,
    since: { 1: '1.5.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddReshape', 0, 40),
  },
  EXPAND_DIMS: {
    code: 70,
    optionsType: 52,
    fields: [],
    inputs: [2, 2],
    version: () => 1,
    since: { 1: '1.10.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddExpandDims', 0, 0, 'int32', 'bool'),
  },
  SQUEEZE: {
    code: 43,
    optionsType: 30,
    fields: [integers(0, 'squeezeDims')],
    inputs: [1, 1],
    version: () => 1,
    since: { 1: '1.6.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddSqueeze', 0, 40),
  },
  PACK: {
    code: 83,
    optionsType: 59,
    fields: [integer(0, 'valuesCount'), integer(1, 'axis')],
    inputs: [1, 64],
    version: byType(2, 3),
    since: { 1: '1.11.0', 2: '1.14.0', 3: '2.3.0' },
    activations: 'all',
    scale: 'joined',
    cost: 'copy',
    micro: micro('AddPack', 0, 8),
  },
  UNPACK: {
    code: 88,
    optionsType: 64,
    fields: [positive(0, 'num'), integer(1, 'axis')],
    inputs: [1, 1],
    outputs: ({ num }) => num,
    version: byType(2, 4),
    since: { 1: '1.11.0', 2: '1.14.0', 4: '2.3.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddUnpack', 0, 8),
  },
  SLICE: move(
    65,
    48,
    3,
    { 1: '1.14.0', 2: '1.14.0', 4: '2.4.0' },
    { version: byType(2, 4), micro: micro('AddSlice') },
  ),
  GATHER: move(
    36,
    23,
    2,
    { 1: '1.6.0', 2: '1.14.0' },
    {
      fields: [integer(0, 'axis'), integer(1, 'batchDims')],
      version: byType(2),
      micro: micro('AddGather', 32, 0, 'int32', 'bool'),
    },
  ),
  DEPTH_TO_SPACE: move(
    5,
    94,
    1,
    { 1: '2.1.0' },
    {
      fields: [positive(0, 'blockSize')],
      micro: micro('AddDepthToSpace', 16, 8),
    },
  ),
  SPACE_TO_DEPTH: move(
    26,
    19,
    1,
    { 1: '1.5.0', 2: '1.14.0' },
    {
      fields: [positive(0, 'blockSize')],
      version: byType(2),
      micro: micro('AddSpaceToDepth', 16, 8),
    },
  ),
  SPACE_TO_BATCH_ND: move(
    38,
    25,
    3,
    { 1: '1.6.0', 2: '1.14.0', 3: '2.3.0' },
    {
      version: inBlocks,
      micro: micro('AddSpaceToBatchNd', 8),
    },
  ),
  BATCH_TO_SPACE_ND: move(
    37,
    24,
    3,
    { 1: '1.6.0', 2: '1.14.0', 3: '2.3.0' },
    {
      version: inBlocks,
      micro: micro('AddBatchToSpaceNd'),
    },
  ),
  FILL: move(
    94,
    68,
    2,
    { 1: '1.13.0', 3: '2.5.0' },
    {
      version: ({ output }) => (output.type === 'int8' || output.type === 'int16' ? 3 : 1),
      activations: [1],
      micro: micro('AddFill'),
    },
  ),
  RESIZE_NEAREST_NEIGHBOR: move(
    97,
    74,
    2,
    { 1: '1.13.1', 2: '1.14.0', 3: '2.3.0', 4: '2.4.0' },
    {
      fields: [flag(0, 'alignCorners'), flag(1, 'halfPixelCenters')],
      version: resized,
      micro: micro('AddResizeNearestNeighbor', 0, 8),
    },
  ),
  RESIZE_BILINEAR: move(
    23,
    15,
    2,
    { 1: '1.7.0', 2: '1.14.0', 3: '2.2.0', 4: '2.5.0' },
    {
      // Since TensorFlow 1.7, the size is an input, so the first two fields are unused.
      fields: [flag(2, 'alignCorners'), flag(3, 'halfPixelCenters')],
      version: resized,
      cost: 'rescale',
      micro: micro('AddResizeBilinear', 0, 8, 'int16'),
    },
  ),
} satisfies { [Name in OperatorName]?: Row<Name> };

/**
 * Operators on variables. In a file, a VAR_HANDLE refers to each variable by name, and a CALL_ONCE sets the variables before the first
 * run (variables.ts).
 */
export const variableRows = {
  READ_VARIABLE: {
    code: 143,
    optionsType: 112,
    fields: [],
    inputs: [1, 1],
    version: () => 1,
    since: { 1: '2.6.0' },
    scale: 'input',
    cost: 'copy',
    micro: micro('AddReadVariable'),
  },
  ASSIGN_VARIABLE: {
    code: 144,
    optionsType: 113,
    fields: [],
    inputs: [2, 2],
    outputs: () => 0,
    version: () => 1,
    since: { 1: '2.6.0' },
    activations: [1, 0],
    scale: 'joined',
    cost: 'copy',
    micro: micro('AddAssignVariable'),
  },
} satisfies { [Name in OperatorName]?: Row<Name> };

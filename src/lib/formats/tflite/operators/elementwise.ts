import type { OperatorName } from '../graph.js';
import { activation, float, optionalType, unlessFalse } from '../option-fields.js';
import {
  byType,
  type Cost,
  type FixedScale,
  micro,
  quantizedSince,
  type Row,
  type SharedRow,
} from './row.js';

const unit: FixedScale = { int8: [1 / 256, -128], int16: [2 ** -15, 0] };

/** An operator with one output element for each input element. */
const unary = (
  code: number,
  optionsType: number,
  since: SharedRow['since'],
  rest: Pick<SharedRow, 'cost' | 'micro' | 'scale'> & Partial<SharedRow>,
): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [1, 1],
  version: quantizedSince(2),
  since,
  shape: 'first',
  ...rest,
});

/** An operator with one output element for each input element, on float32 only. */
const real = (code: number, optionsType: number, since: string, method: string, cost: Cost): SharedRow =>
  unary(code, optionsType, { 1: since }, { version: () => 1, scale: 'own', cost, micro: micro(method) });

/** An operator whose two inputs are broadcast by NumPy's rules. */
const binary = (
  code: number,
  optionsType: number,
  since: SharedRow['since'],
  rest: Pick<SharedRow, 'cost' | 'micro'> & Partial<SharedRow>,
): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [2, 2],
  version: quantizedSince(2),
  since,
  activations: [0, 1],
  shape: 'broadcast',
  ...rest,
});

const sum = (code: number, optionsType: number, since: string, method: string, bytes: [number, number]) =>
  binary(
    code,
    optionsType,
    { 1: since, 2: '1.14.0' },
    {
      fields: [activation(0), unlessFalse(1, 'potScaleInt16')],
      scale: 'own',
      cost: 'add',
      micro: micro(method, ...bytes),
    },
  );

const comparison = (code: number, optionsType: number, method: string): SharedRow =>
  binary(
    code,
    optionsType,
    { 1: '1.14.0', 2: '1.14.0' },
    { version: byType(2), yields: 'bool', cost: 'add', micro: micro(method, 32) },
  );

/** An operator on bool. */
const logical = (code: number, optionsType: number, inputs: number, method: string): SharedRow => ({
  code,
  optionsType,
  fields: [],
  inputs: [inputs, inputs],
  version: () => 1,
  since: { 1: '1.11.0' },
  ...(inputs === 2 && { activations: [0, 1] }),
  yields: 'bool',
  shape: inputs === 2 ? 'broadcast' : 'first',
  cost: 'copy',
  micro: micro(method),
});

/** Operators that compute each element of the output from one element of each input. */
export const elementwiseRows = {
  ADD: sum(0, 11, '1.5.0', 'AddAdd', [68, 8]),
  SUB: sum(41, 28, '1.6.0', 'AddSub', [60, 16]),
  MUL: binary(
    18,
    21,
    { 1: '1.5.0', 2: '1.14.0' },
    { fields: [activation(0)], scale: 'own', cost: 'multiply', micro: micro('AddMul', 44, 16) },
  ),
  DIV: binary(
    42,
    29,
    { 1: '1.6.0' },
    {
      fields: [activation(0)],
      version: () => 1,
      scale: 'own',
      cost: 'transcendental',
      micro: micro('AddDiv', 28, 8),
    },
  ),
  FLOOR_MOD: binary(
    95,
    72,
    { 1: '1.13.1' },
    { version: () => 1, scale: 'own', cost: 'transcendental', micro: micro('AddFloorMod') },
  ),
  MAXIMUM: binary(
    55,
    39,
    { 1: '1.14.0', 2: '1.14.0', 4: '2.3.0' },
    { version: byType(2, 4), scale: 'joined', cost: 'activation', micro: micro('AddMaximum') },
  ),
  MINIMUM: binary(
    57,
    39,
    { 1: '1.14.0', 2: '1.14.0', 4: '2.3.0' },
    { version: byType(2, 4), scale: 'joined', cost: 'activation', micro: micro('AddMinimum') },
  ),
  SQUARED_DIFFERENCE: binary(
    99,
    76,
    { 1: '1.13.1', 2: '2.5.0' },
    { version: byType(2), scale: 'own', cost: 'add', micro: micro('AddSquaredDifference', 104) },
  ),
  PRELU: binary(
    54,
    0,
    { 1: '1.8.0' },
    { version: () => 1, activations: [0], scale: 'own', cost: 'multiply', micro: micro('AddPrelu', 28) },
  ),
  EQUAL: comparison(71, 53, 'AddEqual'),
  NOT_EQUAL: comparison(72, 54, 'AddNotEqual'),
  GREATER: comparison(61, 44, 'AddGreater'),
  GREATER_EQUAL: comparison(62, 45, 'AddGreaterEqual'),
  LESS: comparison(58, 41, 'AddLess'),
  LESS_EQUAL: comparison(63, 46, 'AddLessEqual'),
  LOGICAL_AND: logical(86, 62, 2, 'AddLogicalAnd'),
  LOGICAL_OR: logical(84, 60, 2, 'AddLogicalOr'),
  LOGICAL_NOT: logical(87, 63, 1, 'AddLogicalNot'),
  CAST: {
    code: 53,
    optionsType: 37,
    fields: [optionalType(0, 'inDataType'), optionalType(1, 'outDataType')],
    inputs: [1, 1],
    version: ({ inputs, output }) => (inputs[0]?.type === 'int8' || output.type === 'int8' ? 3 : 1),
    since: { 1: '1.5.0', 3: '2.8.0' },
    shape: 'first',
    cost: 'copy',
    micro: micro('AddCast'),
  },
  SELECT_V2: {
    code: 123,
    optionsType: 98,
    fields: [],
    inputs: [3, 3],
    version: () => 1,
    since: { 1: '2.2.0' },
    activations: [1, 2],
    scale: 'joined',
    cost: 'copy',
    micro: micro('AddSelectV2', 8, 0, 'int32', 'bool'),
  },
  LEAKY_RELU: {
    code: 98,
    optionsType: 75,
    fields: [float(0, 'alpha')],
    inputs: [1, 1],
    version: ({ output }) => (output.type === 'int16' ? 2 : 1),
    since: { 1: '1.13.1', 2: '2.3.0' },
    shape: 'first',
    scale: 'own',
    cost: 'rescale',
    micro: micro('AddLeakyRelu', 24, 8),
  },
  SOFTMAX: {
    code: 25,
    optionsType: 9,
    fields: [float(0, 'beta')],
    inputs: [1, 1],
    version: quantizedSince(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
    shape: 'first',
    scale: unit,
    cost: 'transcendental',
    micro: micro('AddSoftmax', 80, 8),
  },
  LOG_SOFTMAX: unary(
    50,
    36,
    { 1: '1.14.0', 2: '1.14.0' },
    { scale: { int8: [16 / 256, 127] }, cost: 'transcendental', micro: micro('AddLogSoftmax', 48) },
  ),
  LOGISTIC: unary(
    14,
    0,
    { 1: '1.14.0', 2: '1.14.0' },
    {
      scale: unit,
      cost: 'transcendental',
      micro: micro('AddLogistic', 16, 8),
    },
  ),
  TANH: unary(
    28,
    0,
    { 1: '1.14.0', 2: '1.14.0' },
    {
      scale: { int8: [1 / 128, 0], int16: [2 ** -15, 0] },
      cost: 'transcendental',
      micro: micro('AddTanh', 16, 8),
    },
  ),
  RELU: unary(
    19,
    0,
    { 1: '1.5.0', 2: '2.1.0' },
    {
      scale: 'own',
      cost: 'activation',
      micro: micro('AddRelu', 28, 8),
    },
  ),
  RELU6: unary(
    21,
    0,
    { 1: '1.5.0', 2: '1.14.0', 3: '2.5.0' },
    {
      version: byType(2, 3),
      // A file may specify another scale for the output, but TFLite Micro ignores that scale.
      scale: 'input',
      cost: 'activation',
      micro: micro('AddRelu6', 8),
    },
  ),
  ABS: unary(
    101,
    78,
    { 1: '1.13.1', 2: '2.4.0', 3: '2.6.0' },
    {
      version: byType(2, 3),
      scale: 'own',
      cost: 'rescale',
      micro: micro('AddAbs', 28, 8),
    },
  ),
  RSQRT: unary(
    76,
    0,
    { 1: '1.10.0', 2: '2.5.0' },
    {
      scale: 'own',
      cost: 'transcendental',
      micro: micro('AddRsqrt', 28),
    },
  ),
  ELU: unary(
    111,
    0,
    { 1: '1.14.0' },
    {
      version: () => 1,
      scale: 'own',
      cost: 'transcendental',
      micro: micro('AddElu', 256, 8),
    },
  ),
  HARD_SWISH: unary(
    117,
    91,
    { 1: '1.15.0' },
    {
      version: () => 1,
      scale: 'own',
      cost: 'transcendental',
      micro: micro('AddHardSwish', 16),
    },
  ),
  NEG: unary(
    59,
    42,
    { 1: '1.9.0' },
    { version: () => 1, scale: 'own', cost: 'activation', micro: micro('AddNeg') },
  ),
  SQRT: unary(
    75,
    0,
    { 1: '1.10.0' },
    { version: () => 1, scale: 'own', cost: 'transcendental', micro: micro('AddSqrt') },
  ),
  SQUARE: unary(
    92,
    66,
    { 1: '1.12.0' },
    { version: () => 1, scale: 'own', cost: 'multiply', micro: micro('AddSquare') },
  ),
  EXP: unary(
    47,
    33,
    { 1: '1.7.0' },
    { version: () => 1, scale: 'own', cost: 'transcendental', micro: micro('AddExp') },
  ),
  LOG: unary(
    73,
    0,
    { 1: '1.14.0' },
    { version: () => 1, scale: 'own', cost: 'transcendental', micro: micro('AddLog') },
  ),
  SIN: real(66, 0, '1.9.0', 'AddSin', 'transcendental'),
  COS: real(108, 84, '1.14.0', 'AddCos', 'transcendental'),
  FLOOR: real(8, 0, '1.9.0', 'AddFloor', 'activation'),
  CEIL: real(104, 0, '1.14.0', 'AddCeil', 'activation'),
  ROUND: real(116, 0, '1.14.0', 'AddRound', 'activation'),
  QUANTIZE: {
    code: 114,
    optionsType: 89,
    fields: [],
    inputs: [1, 1],
    version: ({ inputs, output }) => (output.type === 'int16' && inputs[0]?.type !== 'float32' ? 2 : 1),
    since: { 1: '1.14.0', 2: '1.15.0' },
    cost: 'rescale',
    micro: micro('AddQuantize', 32, 8),
  },
  DEQUANTIZE: {
    code: 6,
    optionsType: 38,
    fields: [],
    inputs: [1, 1],
    version: ({ inputs }) => (inputs[0]?.type === 'float16' ? 3 : 2),
    since: { 2: '1.14.0', 3: '1.15.0' },
    cost: 'rescale',
    micro: micro('AddDequantize', 32, 8),
  },
} satisfies { [Name in OperatorName]?: Row<Name> };

import type { OperatorName, OperatorOptions, Tensor } from '../graph.js';
import {
  activation,
  entry,
  flag,
  flagEntry,
  float,
  type MapField,
  only,
  optionalFlag,
  optionalType,
  padding,
  positive,
  zero,
} from '../option-fields.js';
import { byType, micro, quantizedSince, type Row, type SharedRow, type Use } from './row.js';

const pool = (code: number, rest: Pick<SharedRow, 'cost' | 'micro'>): SharedRow => ({
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
  scale: 'input',
  ...rest,
});

/** Layers with weights, trees, and pooling. */
export const layerRows = {
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
    scale: 'own',
    cost: 'dense',
    micro: micro('AddFullyConnected', 72, 32),
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
    scale: 'own',
    cost: 'convolution',
    micro: micro('AddConv2D', 80, 40),
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
    scale: 'own',
    cost: 'depthwise',
    micro: micro('AddDepthwiseConv2D', 80, 40),
  },
  TRANSPOSE_CONV: {
    code: 67,
    optionsType: 49,
    fields: [
      padding(0),
      positive(1, 'strideW'),
      positive(2, 'strideH'),
      activation(3),
      optionalType(4, 'quantizedBiasType'),
    ],
    inputs: [3, 4],
    version: ({ inputs, output, options }) => {
      if (options.activation !== 'none') return 4;
      if (inputs[3] !== undefined) return 3;
      return output.type === 'float32' ? 1 : 2;
    },
    since: { 1: '1.9.0', 2: '2.2.0', 3: '2.3.0', 4: '2.13.0' },
    activations: [2],
    scale: 'own',
    cost: 'convolution',
    micro: micro('AddTransposeConv', 96, 24),
  },
  BATCH_MATMUL: {
    code: 126,
    optionsType: 101,
    fields: [flag(0, 'adjX'), flag(1, 'adjY'), zero(2, 'asymmetric quantization of inputs')],
    inputs: [2, 2],
    version: byType(2, 3),
    since: { 1: '2.3.0', 2: '2.3.0', 3: '2.4.0' },
    activations: [0, 1],
    scale: 'own',
    cost: 'dense',
    micro: micro('AddBatchMatMul', 64, 8),
  },
  L2_NORMALIZATION: {
    code: 11,
    optionsType: 12,
    fields: [activation(0)],
    inputs: [1, 1],
    version: byType(2),
    since: { 1: '1.5.0', 2: '1.14.0' },
    shape: 'first',
    scale: { int8: [1 / 128, 0] },
    cost: 'transcendental',
    micro: micro('AddL2Normalization', 0, 8),
  },
  UNIDIRECTIONAL_SEQUENCE_LSTM: {
    code: 44,
    optionsType: 71,
    fields: [
      // Activation 4 is tanh.
      only(0, 'activation', 4),
      float(1, 'cellClip'),
      flag(3, 'timeMajor'),
      zero(4, 'asymmetric quantization of inputs'),
      zero(5, 'diagonal recurrent weights'),
    ],
    inputs: [24, 24],
    optional: [9, 10, 11, 16, 17, 20, 21, 22, 23],
    states: [18, 19],
    version: () => 1,
    since: { 1: '1.13.1' },
    scale: 'own',
    cost: 'dense',
    micro: micro('AddUnidirectionalSequenceLSTM', 720, 24),
  },
  SVDF: {
    code: 27,
    optionsType: 6,
    fields: [positive(0, 'rank'), activation(1), zero(2, 'asymmetric quantization of inputs')],
    inputs: [5, 5],
    optional: [3],
    states: [4],
    version: quantizedSince(3),
    since: { 1: '1.5.0', 3: '2.2.0' },
    scale: 'own',
    cost: 'dense',
    micro: micro('AddSvdf', 64, 8),
  },
  FOREST: {
    code: 32,
    custom: 'AIOT_FOREST',
    optionsType: 0,
    fields: [],
    inputs: [5, 5],
    version: () => 1,
    since: {},
    cost: 'copy',
    // TFLite Micro does not have this operator, so `emitTflm` and `fitModel` reject it.
    micro: micro('AddForest'),
  },
  MAX_POOL_2D: pool(17, { cost: 'maxPool', micro: micro('AddMaxPool2D', 32, 40) }),
  AVERAGE_POOL_2D: pool(1, { cost: 'averagePool', micro: micro('AddAveragePool2D', 32, 40) }),
} satisfies { [Name in OperatorName]?: Row<Name> };

/** A custom operator of TFLite Micro's audio front end. `own`: bytes that its kernel allocates in the arena's tail. */
const signal = <Rest extends object>(name: string, inputs: number, own: number, rest: Rest) => ({
  code: 32,
  custom: `Signal${name}`,
  optionsType: 0,
  fields: [],
  inputs: [inputs, inputs] as [number, number],
  version: () => 1,
  since: {},
  cost: 'multiply' as const,
  micro: micro(`Add${name}`, own),
  ...rest,
});

/** Largest number of samples or channels in the options of an operator. */
const most = 2 ** 16;

/** Number of the samples' type in the schema: int16 (7), int32 (2) or float32 (0). The kernels check that it is that of the tensors. */
const sampleType: MapField = { key: 'T', name: 'sampleType', least: 0, most: 7 };

/** Elements per row of the last axis, and number of rows. */
const rowsOf = ({ shape }: Tensor): { rows: number; size: number } => {
  const size = shape.at(-1) ?? 1;
  return { rows: shape.slice(0, -1).reduce((count, each) => count * each, 1), size };
};

/**
 * The operators of TFLite Micro's audio front end. Their names in a file begin with `Signal` (signal/micro/kernels in its repository).
 */
export const signalRows = {
  SIGNAL_FRAMER: signal('Framer', 3, 48, {
    map: [entry('frame_size', 1, most), entry('frame_step', 1, most), flagEntry('prefill')],
    outputs: () => 2,
    states: [1, 2],
    kept: ({ frameSize, frameStep }: OperatorOptions['SIGNAL_FRAMER'], input: Tensor) => [
      { type: 'int16' as const, shape: [rowsOf(input).rows, Math.ceil(frameSize / frameStep) * frameStep] },
      { type: 'int32' as const, shape: [1] },
    ],
    cost: 'copy' as const,
  }),
  SIGNAL_WINDOW: signal('Window', 2, 8, {
    map: [entry('shift', 0, 31)],
    shape: 'first' as const,
  }),
  SIGNAL_FFT_AUTO_SCALE: signal('FftAutoScale', 1, 0, {
    outputs: () => 2,
    shape: 'first' as const,
    cost: 'activation' as const,
  }),
  SIGNAL_RFFT: signal('Rfft', 1, 0, {
    map: [sampleType, entry('fft_length', 4, most)],
    cost: 'transcendental' as const,
  }),
  SIGNAL_IRFFT: signal('Irfft', 1, 32, {
    map: [sampleType, entry('fft_length', 4, most)],
    cost: 'transcendental' as const,
  }),
  SIGNAL_DELAY: signal('Delay', 2, 32, {
    map: [entry('delay_length', 1, most)],
    shape: 'first' as const,
    states: [1],
    kept: ({ delayLength }: OperatorOptions['SIGNAL_DELAY'], input: Tensor) => [
      { type: 'int16' as const, shape: [rowsOf(input).rows, delayLength] },
    ],
    cost: 'copy' as const,
  }),
  SIGNAL_OVERLAP_ADD: signal('OverlapAdd', 2, 32, {
    map: [sampleType, entry('frame_step', 1, most)],
    states: [1],
    kept: (_: OperatorOptions['SIGNAL_OVERLAP_ADD'], { type, shape }: Tensor) => {
      const outer = shape.slice(0, -2).reduce((count, each) => count * each, 1);
      return [{ type, shape: [outer, shape.at(-1) ?? 1] }];
    },
    cost: 'add' as const,
  }),
  SIGNAL_ENERGY: signal('Energy', 1, 8, {
    map: [entry('end_index', 0, most), entry('start_index', 0, most)],
    yields: 'uint32' as const,
  }),
  SIGNAL_FILTER_BANK: signal('FilterBank', 6, 56, {
    map: [entry('num_channels', 1, most)],
    yields: 'uint64' as const,
    cost: 'dense' as const,
  }),
  SIGNAL_FILTER_BANK_SQUARE_ROOT: signal('FilterBankSquareRoot', 2, 0, {
    yields: 'uint32' as const,
    cost: 'transcendental' as const,
  }),
  SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION: signal('FilterBankSpectralSubtraction', 2, 56, {
    map: [
      entry('alternate_one_minus_smoothing', 0, most),
      entry('alternate_smoothing', 0, most),
      flagEntry('clamping'),
      entry('min_signal_remaining', 0, most),
      entry('num_channels', 1, most),
      entry('one_minus_smoothing', 0, most),
      entry('smoothing', 0, most),
      entry('smoothing_bits', 0, 31),
      entry('spectral_subtraction_bits', 0, 31),
    ],
    outputs: () => 2,
    states: [1],
    kept: ({ numChannels }: OperatorOptions['SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION']) => [
      { type: 'uint32' as const, shape: [numChannels] },
    ],
  }),
  SIGNAL_PCAN: signal('PCAN', 3, 8, { map: [entry('snr_shift', 0, 63)] }),
  SIGNAL_FILTER_BANK_LOG: signal('FilterBankLog', 1, 8, {
    map: [entry('input_correction_bits', 0, 31), entry('output_scale', 0, 2 ** 31 - 1)],
    cost: 'transcendental' as const,
  }),
  SIGNAL_STACKER: signal('Stacker', 3, 56, {
    map: [
      entry('num_channels', 1, most),
      entry('stacker_left_context', 0, 1024),
      entry('stacker_right_context', 0, 1024),
      entry('stacker_step', 1, 2049),
    ],
    outputs: () => 2,
    states: [1, 2],
    kept: (options: OperatorOptions['SIGNAL_STACKER']) => [
      {
        type: 'int16' as const,
        shape: [options.numChannels * (options.stackerLeftContext + 1 + options.stackerRightContext)],
      },
      { type: 'int32' as const, shape: [2] },
    ],
    cost: 'copy' as const,
  }),
} satisfies { [Name in OperatorName]?: Row<Name> };

/**
 * Selects a version according to the constants: `perTensor` or `perChannel` for int8 weights with float activations (dynamic range),
 * otherwise `other`.
 */
function weighted(
  { inputs, output }: Use<OperatorName>,
  [perTensor, perChannel]: [number, number],
  other: number,
): number {
  const weights = inputs[1];
  if (output.type !== 'float32' || weights?.type !== 'int8') return other;
  return (weights.quantization?.scale.length ?? 0) > 1 ? perChannel : perTensor;
}

import { Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import type { LabelFrom } from '../../data/tables/loose-recordings.js';
import { reportFlags } from '../report.js';
import { decimal, shared } from './shared.js';

/** Flags shared by commands that evaluate a model on examples. */
export const modelFlags = {
  data: Flags.string({
    summary: "CSV file of rows, or folder of recordings, instead of the project's own data.",
    env: 'AIOT_DATA',
    helpValue: 'PATH',
  }),
  label: Flags.string({
    char: 'l',
    summary: 'Label column [default: label].',
    env: 'AIOT_LABEL',
    helpValue: 'NAME',
  }),
  runtime: Flags.option({ options: ['litert', 'device', 'ai-edge-litert'] as const })({
    summary:
      "Interpreter: Google's LiteRT, or the built-in one (device), which is bit-exact with TFLite Micro, or the Python package ai-edge-litert (AIOT_PYTHON) [default: device for float32 and int8 models, otherwise litert].",
    env: 'AIOT_RUNTIME',
  }),
  outputName: Flags.string({
    summary: 'Output that the labels belong to, if the file has several.',
    env: 'AIOT_OUTPUT_NAME',
    helpValue: 'NAME',
  }),
  classes: Flags.string({
    summary: "Class names in the order of FILE's outputs.",
    env: 'AIOT_CLASSES',
    helpValue: 'A,B,…',
  }),
};

/** How `model quantize` handles a loss of accuracy. */
export const lossFlags = {
  'bias-correction': Flags.boolean({
    summary: 'Correct biases for the mean rounding error of the weights.',
    env: 'AIOT_BIAS_CORRECTION',
    allowNo: true,
  }),
  equalize: Flags.boolean({
    summary: 'Equalize channel ranges across layers first.',
    env: 'AIOT_EQUALIZE',
    allowNo: true,
  }),
  'max-loss': decimal({
    summary: 'Maximum accuracy loss in points, such as 0.5; tries further methods until it is met.',
    env: 'AIOT_MAX_LOSS',
    helpValue: 'POINTS',
  }),
  finetune: Flags.integer({
    summary: 'Epochs of quantization-aware fine-tuning.',
    env: 'AIOT_FINETUNE',
    min: 1,
    max: 1000,
    helpValue: 'EPOCHS',
  }),
};

/** Flags of `model train` that override aiot.yaml. */
export const trainingFlags = {
  project: shared.project,
  data: modelFlags.data,
  label: modelFlags.label,
  epochs: Flags.integer({
    summary: 'Number of passes over the training set.',
    env: 'AIOT_EPOCHS',
    helpValue: 'N',
    min: 1,
    max: 10_000,
  }),
  batch: Flags.integer({
    summary: 'Number of examples per step.',
    env: 'AIOT_BATCH',
    helpValue: 'N',
    min: 1,
    max: 65_536,
  }),
  seed: Flags.integer({
    summary: 'Random seed for the split, the initial weights and the order of examples.',
    env: 'AIOT_SEED',
    helpValue: 'N',
    min: 0,
  }),
  kind: Flags.option({
    options: ['mlp', 'cnn1d', 'ds-cnn', 'mobilenet', 'fomo', 'autoencoder', 'forest'] as const,
  })({
    summary: 'Model architecture.',
    env: 'AIOT_KIND',
  }),
  layers: Flags.string({
    summary: 'Units of each hidden layer, or filters of each convolution, such as 32,16.',
    env: 'AIOT_LAYERS',
    helpValue: 'N,N,…',
  }),
  output: Flags.option({ options: ['classes', 'probability', 'value'] as const })({
    summary: "Type of the model's output.",
    env: 'AIOT_OUTPUT',
  }),
  split: Flags.option({ options: ['recording', 'device', 'time', 'window'] as const })({
    summary:
      'Unit that is never divided between sets. The value window leaks test data into training, so it requires --force.',
    env: 'AIOT_SPLIT',
  }),
  backend: Flags.option({ options: ['auto', 'node', 'wasm', 'cpu'] as const })({
    summary: 'Training engine: auto is built in; the others require TensorFlow.js installed alongside aiot.',
    env: 'AIOT_BACKEND',
  }),
  folds: Flags.integer({
    summary: 'Cross-validate with K folds first.',
    env: 'AIOT_FOLDS',
    min: 2,
    max: 100,
    helpValue: 'K',
    exclusive: ['leave-one-out'],
  }),
  'leave-one-out': Flags.option({ options: ['recording', 'device'] as const })({
    summary: 'Cross-validate first, leaving out one recording or device (rows: one group) at a time.',
    env: 'AIOT_LEAVE_ONE_OUT',
    helpValue: 'UNIT',
  }),
  search: Flags.integer({
    summary: 'Try N models and signal settings and propose the best; keeps no trained model.',
    env: 'AIOT_SEARCH',
    min: 1,
    max: 1000,
    helpValue: 'N',
    exclusive: ['folds', 'leave-one-out', 'resume', 'report', 'open'],
  }),
  resume: Flags.boolean({ summary: 'Resume an interrupted training run.', env: 'AIOT_RESUME' }),
  force: Flags.boolean({
    summary: 'Train even if the split leaks; the result is marked as leaking.',
    env: 'AIOT_FORCE',
  }),
  ...reportFlags,
};

/** A frequency above 0 Hz, as a flag. */
export const hertz = Flags.custom<number>({
  helpValue: 'HZ',
  parse: async (text, _context, { name }) => {
    if (/^\d+(\.\d+)?(e\d+)?$/i.test(text) && Number(text) > 0 && Number.isFinite(Number(text))) {
      return Number(text);
    }
    throw new AiotError('AIOT_USAGE', `--${name}: expected a number of Hz above 0, got "${text}"`);
  },
});

/** Source of labels for recordings that belong to no project. */
export const labelFrom = Flags.custom<LabelFrom>({
  summary:
    'Source of the labels: name (the label of walking1.csv is walking), folder, column, column:NAME or none.',
  env: 'AIOT_LABEL_FROM',
  helpValue: 'WHERE',
  parse: async (text) => {
    if (/^(auto|name|folder|column|none|column:.+)$/.test(text)) return text as LabelFrom;
    throw new AiotError(
      'AIOT_USAGE',
      `--label-from: expected name, folder, column, column:NAME or none, got "${text}"`,
    );
  },
});

/** Columns whose role does not follow from their names. */
export const rowsFlags = {
  label: Flags.string({
    char: 'l',
    summary: 'Label column [default: the first of label, activity, class, state].',
    env: 'AIOT_LABEL',
    helpValue: 'NAME',
  }),
  prediction: Flags.string({
    summary: 'Prediction column [default: the first of prediction, predicted, inference].',
    env: 'AIOT_PREDICTION',
    helpValue: 'NAME',
  }),
  time: Flags.string({
    summary: 'Time column [default: one with a common name, such as t, time, timestamp or date].',
    env: 'AIOT_TIME',
    helpValue: 'NAME',
  }),
  columns: Flags.string({
    summary: 'Columns to use, separated by commas [default: all].',
    env: 'AIOT_COLUMNS',
    helpValue: 'A,B,…',
  }),
};

/** The column names in --columns. */
export function columnList(text: string | undefined): string[] | undefined {
  return text
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

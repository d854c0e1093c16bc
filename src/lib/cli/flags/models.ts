import { Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import type { LabelFrom } from '../../data/tables/loose-recordings.js';
import { reportFlags } from '../report.js';
import { decimal, shared } from './shared.js';

/** What the commands share that measure a network on examples. */
export const modelFlags = {
  data: Flags.string({
    summary: 'CSV file of rows, or folder of recordings, instead of the project’s own data.',
    env: 'AIOT_DATA',
    helpValue: 'PATH',
  }),
  label: Flags.string({
    char: 'l',
    summary: 'Column of the labels (label).',
    env: 'AIOT_LABEL',
    helpValue: 'NAME',
  }),
  runtime: Flags.option({ options: ['litert', 'device'] as const })({
    summary: 'Google’s LiteRT, or bit for bit what TFLite Micro computes on a device.',
    env: 'AIOT_RUNTIME',
  }),
  classes: Flags.string({
    summary: 'Classes in the order of the outputs of FILE.',
    env: 'AIOT_CLASSES',
    helpValue: 'A,B,…',
  }),
};

/** What `model quantize` does against a loss. */
export const lossFlags = {
  'bias-correction': Flags.boolean({
    summary: 'Take the mean error of rounded weights out of the biases.',
    env: 'AIOT_BIAS_CORRECTION',
    allowNo: true,
  }),
  equalize: Flags.boolean({
    summary: 'Balance channels between layers first.',
    env: 'AIOT_EQUALIZE',
    allowNo: true,
  }),
  'max-loss': decimal({
    summary: 'Points of accuracy that may be lost, such as 0.5; tries more until it is kept.',
    env: 'AIOT_MAX_LOSS',
    helpValue: 'POINTS',
  }),
  finetune: Flags.integer({
    summary: 'Epochs of training with the rounding in it.',
    env: 'AIOT_FINETUNE',
    min: 1,
    max: 1000,
    helpValue: 'EPOCHS',
  }),
};

/** What `model train` can be told beside aiot.yaml. */
export const trainingFlags = {
  project: shared.project,
  data: modelFlags.data,
  label: modelFlags.label,
  epochs: Flags.integer({
    summary: 'Passes over the training part.',
    env: 'AIOT_EPOCHS',
    min: 1,
    max: 10_000,
  }),
  batch: Flags.integer({ summary: 'Examples a step.', env: 'AIOT_BATCH', min: 1, max: 65_536 }),
  seed: Flags.integer({
    summary: 'Repeats the split, the first weights and the order.',
    env: 'AIOT_SEED',
    min: 0,
  }),
  kind: Flags.option({ options: ['mlp', 'cnn1d', 'ds-cnn', 'autoencoder'] as const })({
    summary: 'Kind of network.',
    env: 'AIOT_KIND',
  }),
  layers: Flags.string({
    summary: 'Units of the hidden layers, or filters of the convolutions.',
    env: 'AIOT_LAYERS',
    helpValue: '32,16',
  }),
  output: Flags.option({ options: ['classes', 'probability', 'value'] as const })({
    summary: 'What the network answers with.',
    env: 'AIOT_OUTPUT',
  }),
  split: Flags.option({ options: ['recording', 'device', 'time', 'window'] as const })({
    summary: 'What is held out whole; by window is a leak, and wants --force.',
    env: 'AIOT_SPLIT',
  }),
  backend: Flags.option({ options: ['auto', 'node', 'wasm', 'cpu'] as const })({
    summary: 'Training engine: auto is built in; the others need TensorFlow.js installed beside aiot.',
    env: 'AIOT_BACKEND',
  }),
  folds: Flags.integer({
    summary: 'Measure first: leave each of K parts out once.',
    env: 'AIOT_FOLDS',
    min: 2,
    max: 100,
    helpValue: 'K',
    exclusive: ['leave-one-out'],
  }),
  'leave-one-out': Flags.option({ options: ['recording', 'device'] as const })({
    summary: 'Measure first: leave each recording or device (of rows: each group) out once.',
    env: 'AIOT_LEAVE_ONE_OUT',
  }),
  search: Flags.integer({
    summary: 'Try N networks and signal parts, and propose the best; trains none of them for good.',
    env: 'AIOT_SEARCH',
    min: 1,
    max: 1000,
    helpValue: 'N',
    exclusive: ['folds', 'leave-one-out', 'resume', 'report', 'open'],
  }),
  resume: Flags.boolean({ summary: 'Go on with a training that was stopped.', env: 'AIOT_RESUME' }),
  force: Flags.boolean({ summary: 'Train although the split leaks; the result says so.', env: 'AIOT_FORCE' }),
  ...reportFlags,
};

/** A number of Hz above 0, as a flag. */
export const hertz = Flags.custom<number>({
  helpValue: 'HZ',
  parse: async (text, _context, { name }) => {
    if (/^\d+(\.\d+)?(e\d+)?$/i.test(text) && Number(text) > 0 && Number.isFinite(Number(text))) {
      return Number(text);
    }
    throw new AiotError('AIOT_USAGE', `--${name}: expected a number of Hz above 0, got "${text}"`);
  },
});

/** Where the labels of recordings come from that belong to no project. */
export const labelFrom = Flags.custom<LabelFrom>({
  summary: 'Where labels are: name (walking1.csv is walking), folder, column, column:NAME, or none.',
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

/** What a column of rows is, where its name does not tell. */
export const rowsFlags = {
  label: Flags.string({
    char: 'l',
    summary: 'Column of the labels (label, activity, class, state).',
    env: 'AIOT_LABEL',
    helpValue: 'NAME',
  }),
  prediction: Flags.string({
    summary: 'Column of what a model said (prediction, predicted, inference).',
    env: 'AIOT_PREDICTION',
    helpValue: 'NAME',
  }),
  time: Flags.string({
    summary: 'Column of times (time, timestamp, …).',
    env: 'AIOT_TIME',
    helpValue: 'NAME',
  }),
  columns: Flags.string({
    summary: 'Columns to look at, separated by commas.',
    env: 'AIOT_COLUMNS',
    helpValue: 'A,B,…',
  }),
};

/** The list behind --columns. */
export function columnList(text: string | undefined): string[] | undefined {
  return text
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

import { Flags } from '@oclif/core';
import { shared } from './flags.js';
import { modelFlags } from './model-flags.js';
import { reportFlags } from './report.js';

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

import { Flags } from '@oclif/core';
import { decimal } from './decimal.js';

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

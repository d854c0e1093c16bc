import { Flags } from '@oclif/core';

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

import { Flags } from '@oclif/core';

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

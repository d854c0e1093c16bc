import { Flags } from '@oclif/core';
import { duration } from './flags.js';
import { loopFlags } from './loop-flags.js';

/** What `aiot loop run` is asked: as of a service, and what somebody wants who sits in front of it. */
export const runFlags = {
  ...loopFlags,
  simulate: Flags.boolean({
    summary: 'A made-up sensor where none is named, and a model trained into the cache where there is none.',
    env: 'AIOT_SIMULATE',
  }),
  delegate: Flags.option({ options: ['cpu', 'coral'] as const })({
    summary: 'What the model runs on.',
    default: 'cpu',
    env: 'AIOT_DELEGATE',
  }),
  for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR', exclusive: ['until'] }),
  until: Flags.string({
    summary: 'End at this time, such as 17:30 or 2026-01-31T17:30.',
    env: 'AIOT_UNTIL',
    helpValue: 'TIME',
  }),
  record: Flags.string({
    summary: 'Keep the samples as recordings in this folder, the last week of them.',
    env: 'AIOT_RECORD',
    helpValue: 'DIR',
  }),
  teach: Flags.boolean({
    summary: 'Keys give the last seconds a label, and the model learns it.',
    env: 'AIOT_TEACH',
  }),
  'teach-from': Flags.string({
    summary: 'The same by messages: a stream of labels, such as mqtt://127.0.0.1/labels.',
    env: 'AIOT_TEACH_FROM',
    helpValue: 'URL',
  }),
  // Spelled out: the names are the loop's, and its room is not to be loaded by every command.
  stage: Flags.option({ options: ['sense', 'extract', 'predict', 'output'] as const })({
    summary: "One of the motion system's four parts alone, over NATS.",
    env: 'AIOT_STAGE',
  }),
};

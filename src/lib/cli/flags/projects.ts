import { Args, Flags } from '@oclif/core';
import { duration, folderToFill, shared } from './shared.js';

/** What a loop is asked, by whoever runs it: `aiot loop run`, or a service of `aiot loop install`. */
export const loopFlags = {
  name: Flags.string({
    summary: "Name of the loop, for its state and its disk [default: the project's].",
    env: 'AIOT_NAME',
    helpValue: 'NAME',
  }),
  sensor: Flags.string({
    summary: 'Where samples come from: i2c:, iio:, alsa:, serial:, tcp:, file: or any stream.',
    env: 'AIOT_SENSOR',
    helpValue: 'URL',
  }),
  model: Flags.string({
    summary: "A .aiot file, or the registry's NAME@STAGE [default: the project's].",
    env: 'AIOT_MODEL',
    helpValue: 'MODEL',
  }),
  vote: Flags.string({
    summary: "none, majority:N or hysteresis:SHARE [default: the model's].",
    env: 'AIOT_VOTE',
    helpValue: 'VOTE',
  }),
  hold: duration({ summary: 'A voted class stands at least so long, such as 5s.', env: 'AIOT_HOLD' }),
  out: Flags.string({
    char: 'o',
    summary:
      'Answers go here: nats:, mqtt:, kafka:, redis:, http:, telegram:, gpio:, exec:, file: and others.',
    env: 'AIOT_OUT',
    helpValue: 'URL',
    multiple: true,
    multipleNonGreedy: true,
  }),
  send: Flags.option({ options: ['change', 'always'] as const })({
    summary: 'Send an answer when the vote changes, or always [default: change].',
    env: 'AIOT_SEND',
  }),
  listen: Flags.string({
    summary: 'Serve /healthz and /metrics here: PORT of this machine, or HOST:PORT [default: nowhere].',
    env: 'AIOT_LISTEN',
    helpValue: 'HOST:PORT',
  }),
};

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

/** Of commands that are about one run. */
export const runArg = {
  run: Args.string({ description: 'Id of the run, or its beginning; the last one when absent.' }),
};

/** Of commands that run steps. */
export const stepsFlags = {
  project: shared.project,
  jobs: Flags.integer({
    summary: 'Steps at a time [default: one for each core].',
    env: 'AIOT_JOBS',
    min: 1,
    helpValue: 'N',
  }),
  context: shared.context,
};

/** Of commands that ask Argo's server about a run. */
export const argoFlags = {
  'argo-token-file': Flags.string({
    summary: 'File with the token for Argo’s server, or - for stdin; or AIOT_ARGO_TOKEN.',
    env: 'AIOT_ARGO_TOKEN_FILE',
    helpValue: 'FILE',
  }),
};

/** Flags and the argument of `aiot deploy`. */
export const deployFlags = {
  values: Flags.string({
    summary: 'File of values instead of the project’s deploy.yaml.',
    env: 'AIOT_VALUES',
    helpValue: 'FILE',
  }),
};

/** Flags of what writes files into a folder. */
export const renderFlags = {
  out: folderToFill,
  project: shared.project,
  values: deployFlags.values,
  'dry-run': shared['dry-run'],
  force: Flags.boolean({ summary: 'Write over files that were edited.', env: 'AIOT_FORCE' }),
};

export const deployFolder = Args.string({ description: 'Folder that was rendered.', default: '.' });

/** Without a project here there is still an installation to render. */
export function deployOptions({ project, values }: { project: string; values: string | undefined }) {
  return {
    ...(project === '.' ? {} : { project }),
    ...(values === undefined ? {} : { values }),
  };
}

import { Args, Flags } from '@oclif/core';
import { duration, folderToFill, shared } from './shared.js';

/** Options of a loop, for `aiot loop run` and for services of `aiot loop install`. */
export const loopFlags = {
  name: Flags.string({
    summary: "Loop name, under which its state and spool are stored [default: the project's].",
    env: 'AIOT_NAME',
    helpValue: 'NAME',
  }),
  sensor: Flags.string({
    summary: 'Source of samples: i2c:, iio:, alsa:, serial:, tcp:, file: or any stream.',
    env: 'AIOT_SENSOR',
    helpValue: 'URL',
  }),
  model: Flags.string({
    summary: "A .aiot file, or NAME@STAGE in the registry [default: the project's].",
    env: 'AIOT_MODEL',
    helpValue: 'MODEL',
  }),
  vote: Flags.string({
    summary: "Smoothing: none, majority:N, average:N or hysteresis:SHARE [default: the model's].",
    env: 'AIOT_VOTE',
    helpValue: 'VOTE',
  }),
  hold: duration({
    summary: 'Minimum time to hold a smoothed class, such as 5s.',
    env: 'AIOT_HOLD',
  }),
  out: Flags.string({
    char: 'o',
    summary:
      'Destination of predictions: nats:, mqtt:, kafka:, redis:, http:, telegram:, gpio:, exec:, file: and others.',
    env: 'AIOT_OUT',
    helpValue: 'URL',
    multiple: true,
    multipleNonGreedy: true,
  }),
  send: Flags.option({ options: ['change', 'always'] as const })({
    summary: 'Send a prediction when the smoothed class changes, or always [default: change].',
    env: 'AIOT_SEND',
  }),
  listen: Flags.string({
    summary: 'Serve /healthz and /metrics at PORT on this machine or at HOST:PORT [default: off].',
    env: 'AIOT_LISTEN',
    helpValue: 'HOST:PORT',
  }),
};

/** Flags of `aiot loop run`: those of a service, and those for interactive use. */
export const runFlags = {
  ...loopFlags,
  simulate: Flags.boolean({
    summary: 'Use a simulated sensor if none is set; if no model exists, train one and cache it.',
    env: 'AIOT_SIMULATE',
  }),
  delegate: Flags.option({ options: ['cpu', 'coral'] as const })({
    summary: 'Backend that runs the model.',
    default: 'cpu',
    env: 'AIOT_DELEGATE',
  }),
  runtime: Flags.option({ options: ['device', 'ai-edge-litert'] as const })({
    summary: 'Interpreter: the built-in one (device), or the Python package ai-edge-litert (AIOT_PYTHON).',
    default: 'device',
    env: 'AIOT_RUNTIME',
    exclusive: ['delegate'],
  }),
  for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR', exclusive: ['until'] }),
  until: Flags.string({
    summary: 'Stop at this time, such as 17:30 or 2026-01-31T17:30.',
    env: 'AIOT_UNTIL',
    helpValue: 'TIME',
  }),
  record: Flags.string({
    summary:
      'Save samples as recordings in this folder; keeps the newest 60 million samples (a week at 100 Hz).',
    env: 'AIOT_RECORD',
    helpValue: 'DIR',
  }),
  teach: Flags.boolean({
    summary: 'Label the last few seconds with a key press; the model learns from them.',
    env: 'AIOT_TEACH',
  }),
  'teach-from': Flags.string({
    summary: 'Label by message instead of key press: a stream of labels, such as mqtt://127.0.0.1/labels.',
    env: 'AIOT_TEACH_FROM',
    helpValue: 'URL',
  }),
  // The options are repeated here, so that not every command loads the loop module, which defines them.
  stage: Flags.option({ options: ['sense', 'extract', 'predict', 'output'] as const })({
    summary: 'Run one stage of the motion system over NATS (see aiot docs motion-over-nats).',
    env: 'AIOT_STAGE',
  }),
};

/** Argument of commands about one run. */
export const runArg = {
  run: Args.string({ description: 'Run ID, or its first characters [default: the latest run].' }),
};

/** Flags of commands that run steps. */
export const stepsFlags = {
  project: shared.project,
  jobs: Flags.integer({
    summary: 'Number of steps to run at a time [default: one per core].',
    env: 'AIOT_JOBS',
    min: 1,
    helpValue: 'N',
  }),
  context: shared.context,
};

/** Flags of commands that query Argo's server about a run. */
export const argoFlags = {
  'argo-token-file': Flags.string({
    summary: 'File with the token for the Argo server, or - for stdin; or set AIOT_ARGO_TOKEN.',
    env: 'AIOT_ARGO_TOKEN_FILE',
    helpValue: 'FILE',
  }),
};

/** Flag of commands that read deployment values. */
export const deployFlags = {
  values: Flags.string({
    summary: "Values file, instead of the project's deploy.yaml.",
    env: 'AIOT_VALUES',
    helpValue: 'FILE',
  }),
};

/** Flags of commands that write files to a folder. */
export const renderFlags = {
  out: folderToFill,
  project: shared.project,
  values: deployFlags.values,
  'dry-run': shared['dry-run'],
  force: Flags.boolean({ summary: 'Overwrite files that you edited after rendering.', env: 'AIOT_FORCE' }),
};

export const deployFolder = Args.string({ description: 'Folder of rendered files.', default: '.' });

/** Converts the flags to options. Without a project in the folder, the installation can still be rendered. */
export function deployOptions({ project, values }: { project: string; values: string | undefined }) {
  return {
    ...(project === '.' ? {} : { project }),
    ...(values === undefined ? {} : { values }),
  };
}

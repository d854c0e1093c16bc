import { Args, Flags } from '@oclif/core';
import { shared } from './flags.js';

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

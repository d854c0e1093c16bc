import { Args, Flags } from '@oclif/core';
import { folderToFill, shared } from './flags.js';

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

import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AiotError, readText, unless } from '../../core/index.js';
import { compareWith, fileStates, renderedTargets } from '../folder.js';
import { type FilesOptions, filesOf } from '../render.js';
import { type TargetName, targetNames } from '../targets.js';
import { unifiedDiff } from './unified.js';

export const deployDiffSchema = z.object({
  /** Absolute folder. */
  dir: z.string(),
  targets: z.array(z.string()),
  /** Nothing would change. */
  same: z.boolean(),
  files: z.array(
    z.object({
      target: z.string(),
      path: z.string(),
      /** `edited`: by somebody since it was rendered; `left`: an earlier rendering made it, today's would not. */
      did: z.enum(fileStates),
      /** Unified: `-` is in the folder, `+` would be. */
      diff: z.string(),
    }),
  ),
});
export type DeployDiff = z.output<typeof deployDiffSchema>;

/** What rendering now would change in a folder; nothing is written. @throws AIOT_DEPLOY_NOTHING, and as renderDeployment */
export async function diffDeployment({
  dir: folder,
  ...options
}: Omit<FilesOptions, 'target'> & { dir: string }): Promise<DeployDiff> {
  const dir = resolve(folder);
  const targets = (await renderedTargets(dir)).filter((name): name is TargetName =>
    (targetNames as string[]).includes(name),
  );
  if (targets.length === 0) throw new AiotError('AIOT_DEPLOY_NOTHING', `${dir} has no rendering of aiot`);
  const files: DeployDiff['files'] = [];
  for (const target of targets) {
    const { files: rendered } = await filesOf({ ...options, target });
    const texts = new Map(rendered.map(({ path, text }) => [path, text]));
    for (const { path, did } of await compareWith(dir, target, rendered)) {
      if (did === 'unchanged') continue;
      const before = (await unless('AIOT_FILE_NOT_FOUND', readText(join(dir, path)))) ?? '';
      const after = did === 'left' ? '' : (texts.get(path) ?? '');
      files.push({ target, path, did, diff: unifiedDiff(path, before, after) });
    }
  }
  return { dir, targets, same: files.length === 0, files };
}

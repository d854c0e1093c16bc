import { z } from 'zod';
import { AiotError, plural } from '../../core/index.js';
import { checkDeployment, readDeployFolder } from '../check/index.js';
import { stepsOf, targetIn } from './plan.js';
import { runStep } from './run.js';

export const appliedSchema = z.object({
  target: z.string(),
  /** Absolute folder. */
  dir: z.string(),
  dryRun: z.boolean(),
  /** False: somebody said no. */
  applied: z.boolean(),
  steps: z.array(z.object({ command: z.array(z.string()), about: z.string() })),
});
export type Applied = z.output<typeof appliedSchema>;

export interface ApplyOptions {
  dir: string;
  dryRun: boolean;
  /** Asked before anything is run, with what would be. */
  confirmed: (planned: Applied) => Promise<boolean>;
  signal?: AbortSignal;
  onLine?: (line: string) => void;
}

/**
 * Applies a rendering with the program that does: kubectl, docker compose, systemctl. The folder is checked first; an error there, or a
 * secret that has not been made, stops it before anything is run.
 * @throws AIOT_DEPLOY_NOTHING, AIOT_DEPLOY_UNFIT, AIOT_DEPLOY_FAILED, AIOT_USAGE, AIOT_INTERRUPTED
 */
export async function applyDeployment(options: ApplyOptions): Promise<Applied> {
  const { dryRun, confirmed, signal, onLine } = options;
  const folder = await readDeployFolder(options.dir);
  const target = await targetIn(folder.dir);
  const { findings } = await checkDeployment(folder.dir);
  const wrong = findings.filter(({ level }) => level === 'error');
  const [first] = wrong;
  if (first) {
    throw new AiotError(
      'AIOT_DEPLOY_UNFIT',
      `${folder.dir}: ${plural(wrong.length, 'mistake')}; ${first.file}:${first.line}: ${first.object}: ${first.message}`,
    );
  }
  const steps = stepsOf(target, folder);
  const planned: Applied = {
    ...{ target, dir: folder.dir, dryRun, applied: false },
    steps: steps.map(({ command, about }) => ({ command: [...command], about })),
  };
  if (dryRun || !(await confirmed(planned))) return planned;
  for (const step of steps) await runStep(step, { cwd: folder.dir, signal, onLine });
  return { ...planned, applied: true };
}

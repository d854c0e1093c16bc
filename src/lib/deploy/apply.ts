import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { runProgram } from '../core/process.js';
import { checkDeployment } from './check/check.js';
import { at, type DeployFolder, listAt, readDeployFolder, textAt } from './check/objects.js';
import { renderedTargets } from './folder.js';
import { type TargetName, targetNames } from './targets.js';

export const appliedSchema = z.object({
  target: z.string(),
  /** Absolute path of the folder. */
  dir: z.string(),
  dryRun: z.boolean(),
  /** False with `dryRun`, or if the user declined. */
  applied: z.boolean(),
  steps: z.array(z.object({ command: z.array(z.string()), about: z.string() })),
});

export type Applied = z.output<typeof appliedSchema>;

interface ApplyOptions {
  dir: string;
  dryRun: boolean;
  /** Asks the user to confirm the planned steps, before anything is run. */
  confirmed: (planned: Applied) => Promise<boolean>;
  signal?: AbortSignal;
  /** Called before each program is run, with its purpose. */
  onStep?: (about: string) => void;
  onLine?: (line: string) => void;
}

/**
 * Applies a rendering with the matching program: kubectl, docker compose, systemctl. The folder is checked first. If the check finds an
 * error, or a secret has not been created, nothing is run.
 * @throws AIOT_DEPLOY_NOTHING, AIOT_DEPLOY_UNFIT, AIOT_DEPLOY_FAILED, AIOT_USAGE, AIOT_INTERRUPTED
 */
export async function applyDeployment(options: ApplyOptions): Promise<Applied> {
  const { dryRun, confirmed, signal, onStep, onLine } = options;
  const folder = await readDeployFolder(options.dir);
  const target = await targetIn(folder.dir);
  const { findings } = await checkDeployment(folder.dir);
  const wrong = findings.filter(({ level }) => level === 'error');
  const [first] = wrong;
  if (first) {
    throw new AiotError(
      'AIOT_DEPLOY_UNFIT',
      `${folder.dir}: ${plural(wrong.length, 'error')}; ${first.file}:${first.line}: ${first.object}: ${first.message}`,
    );
  }
  const steps = stepsOf(target, folder);
  const planned: Applied = {
    ...{ target, dir: folder.dir, dryRun, applied: false },
    steps: steps.map(({ command, about }) => ({ command: [...command], about })),
  };
  if (dryRun || !(await confirmed(planned))) return planned;
  for (const step of steps) {
    onStep?.(step.about);
    await runStep(step, { cwd: folder.dir, signal, onLine });
  }
  return { ...planned, applied: true };
}

/** Targets that a program on this machine can apply. */
const appliedTargets = ['k3s', 'compose', 'systemd', 'argocd'] as const satisfies TargetName[];

type AppliedTarget = (typeof appliedTargets)[number];

const isApplied = (target: string): target is AppliedTarget =>
  (appliedTargets as readonly string[]).includes(target);

/** The single target of a folder. @throws AIOT_DEPLOY_NOTHING, AIOT_USAGE */
export async function targetIn(dir: string): Promise<AppliedTarget> {
  const targets = (await renderedTargets(dir)).filter((name) => (targetNames as string[]).includes(name));
  const [target, ...more] = targets.filter(isApplied);
  if (target !== undefined && more.length === 0) return target;
  if (targets.length === 0)
    throw new AiotError('AIOT_DEPLOY_NOTHING', `${dir} contains no rendered deployment`);
  throw new AiotError(
    'AIOT_USAGE',
    target === undefined
      ? `${dir} is rendered for ${targets.join(', ')}, which aiot cannot apply. See its README.md.`
      : `${dir} contains deployments for ${[target, ...more].join(', ')}: expected one per folder`,
  );
}

/** The commands to run in the folder, in order. @throws AIOT_DEPLOY_NOTHING (secrets that have not been created) */
function stepsOf(target: AppliedTarget, folder: DeployFolder): Step[] {
  switch (target) {
    case 'k3s':
      requireSecrets(folder, secretsOfKustomization(folder));
      return [
        { command: ['kubectl', 'apply', '-f', 'base/namespace.yaml'], about: 'create the namespace' },
        { command: ['kubectl', 'apply', '-k', 'secrets'], about: 'apply the secrets from the local files' },
        { command: ['kubectl', 'apply', '--server-side', '-k', '.'], about: 'apply everything else' },
      ];
    case 'compose':
      requireSecrets(folder, secretsOfCompose(folder));
      return [
        {
          command: ['docker', 'compose', 'up', '--detach', '--wait'],
          about: 'create networks, volumes and containers',
        },
      ];
    case 'systemd': {
      const units = unitsIn(folder);
      return [
        {
          command: ['systemd-analyze', 'verify', ...units.map((unit) => `./${unit}`)],
          about: 'verify the units',
        },
        {
          command: ['install', '-m', '644', ...units, '/etc/systemd/system/'],
          about: 'copy the units into place',
        },
        { command: ['systemctl', 'daemon-reload'], about: 'reload systemd' },
        {
          command: ['systemctl', 'enable', '--now', ...units],
          about: 'start the services and enable them at boot',
        },
      ];
    }
    case 'argocd':
      return [{ command: ['kubectl', 'apply', '-f', 'application.yaml'], about: 'apply the Application' }];
  }
}

export const unitsIn = ({ texts }: DeployFolder) =>
  [...texts.keys()].filter((path) => /^[\w.-]+\.service$/.test(path));

export function namespaceIn({ objects }: DeployFolder): string {
  const namespace = objects.find(({ kind }) => kind === 'Namespace');
  return textAt(namespace?.data, 'metadata', 'name') ?? 'default';
}

function secretsOfKustomization({ objects }: DeployFolder): string[] {
  const made = objects.find(({ file }) => file === 'secrets/kustomization.yaml');
  return listAt(made?.data, 'secretGenerator').flatMap(({ envs, files }) =>
    [envs, files].flatMap((list) => (Array.isArray(list) ? list.map((file) => `secrets/${file}`) : [])),
  );
}

function secretsOfCompose({ objects }: DeployFolder): string[] {
  const compose = objects.find(({ file }) => file === 'compose.yaml');
  const secrets = Object.values((at(compose?.data, 'secrets') ?? {}) as object).flatMap(
    (secret) => textAt(secret, 'file') ?? [],
  );
  const services = Object.values((at(compose?.data, 'services') ?? {}) as object);
  const environments = services.flatMap((service) =>
    listAt(service, 'env_file').flatMap(({ path }) => (typeof path === 'string' ? path : [])),
  );
  return [...new Set([...secrets, ...environments])];
}

function requireSecrets({ dir }: DeployFolder, paths: readonly string[]): void {
  const missing = paths.filter((path) => !existsSync(join(dir, path)));
  if (missing.length === 0) return;
  throw new AiotError(
    'AIOT_DEPLOY_NOTHING',
    `${dir}: the secrets have not been created yet: ${missing.join(', ')}`,
    {
      next: `Create them with \`sh ${join(dir, 'secrets.sh')}\`.`,
    },
  );
}

/** A program on this machine with its arguments, which is started without a shell. */
interface Step {
  command: readonly string[];
  about: string;
}

export interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** Called with each line of the program's output while it runs. */
  onLine?: ((line: string) => void) | undefined;
}

/**
 * Runs a program and returns its output.
 * @throws AIOT_DEPLOY_FAILED (it is not installed, or exited with a code other than 0), AIOT_INTERRUPTED
 */
export async function runStep(
  { command }: Step,
  { cwd, env = process.env, signal, onLine }: RunOptions,
): Promise<string> {
  const [program = '', ...words] = command;
  const shown = command.join(' ');
  let last = '';
  const onOutput = (text: string) => {
    for (const line of text.split('\n')) {
      if (line.trim() === '') continue;
      last = line.trim();
      onLine?.(line);
    }
  };
  const mostOutput = Number.POSITIVE_INFINITY;
  const { code, stdout } = await runProgram(program, words, { cwd, env, signal, onOutput, mostOutput }).catch(
    (cause: Error) => {
      signal?.throwIfAborted();
      const why =
        systemCode(cause) === 'ENOENT' ? `${program} is not installed on this machine` : cause.message;
      throw new AiotError('AIOT_DEPLOY_FAILED', `${shown}: ${why}`, { cause });
    },
  );
  if (code === 0) return stdout;
  throw new AiotError('AIOT_DEPLOY_FAILED', `${shown}: exited with ${code}${last === '' ? '' : `: ${last}`}`);
}

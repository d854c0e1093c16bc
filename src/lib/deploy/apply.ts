import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { startProgram } from '../core/process.js';
import { checkDeployment } from './check/check.js';
import { at, type DeployFolder, listAt, readDeployFolder, textAt } from './check/objects.js';
import { renderedTargets } from './folder.js';
import { type TargetName, targetNames } from './targets.js';

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

interface ApplyOptions {
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

/** Targets that something of this machine applies. */
const appliedTargets = ['k3s', 'compose', 'systemd', 'argocd'] as const satisfies TargetName[];

type AppliedTarget = (typeof appliedTargets)[number];

const isApplied = (target: string): target is AppliedTarget =>
  (appliedTargets as readonly string[]).includes(target);

/** The one target of a folder. @throws AIOT_DEPLOY_NOTHING, AIOT_USAGE */
export async function targetIn(dir: string): Promise<AppliedTarget> {
  const targets = (await renderedTargets(dir)).filter((name) => (targetNames as string[]).includes(name));
  const [target, ...more] = targets.filter(isApplied);
  if (target !== undefined && more.length === 0) return target;
  if (targets.length === 0) throw new AiotError('AIOT_DEPLOY_NOTHING', `${dir} has no rendering of aiot`);
  throw new AiotError(
    'AIOT_USAGE',
    target === undefined
      ? `${dir} is a rendering for ${targets.join(', ')}, which nothing here applies: its README.md says how`
      : `${dir} has renderings for ${[target, ...more].join(', ')}: expected one a folder`,
  );
}

/** What is run, in this order, in the folder. @throws AIOT_DEPLOY_NOTHING (secrets that have not been made) */
function stepsOf(target: AppliedTarget, folder: DeployFolder): Step[] {
  switch (target) {
    case 'k3s':
      requireSecrets(folder, secretsOfKustomization(folder));
      return [
        { command: ['kubectl', 'apply', '-f', 'base/namespace.yaml'], about: 'the namespace' },
        { command: ['kubectl', 'apply', '-k', 'secrets'], about: 'secrets, from the files made here' },
        { command: ['kubectl', 'apply', '--server-side', '-k', '.'], about: 'all else' },
      ];
    case 'compose':
      requireSecrets(folder, secretsOfCompose(folder));
      return [
        {
          command: ['docker', 'compose', 'up', '--detach', '--wait'],
          about: 'networks, volumes, containers',
        },
      ];
    case 'systemd': {
      const units = unitsIn(folder);
      return [
        {
          command: ['systemd-analyze', 'verify', ...units.map((unit) => `./${unit}`)],
          about: 'the units, looked at',
        },
        {
          command: ['install', '-m', '644', ...units, '/etc/systemd/system/'],
          about: 'the units, in their place',
        },
        { command: ['systemctl', 'daemon-reload'], about: 'systemd reads them' },
        { command: ['systemctl', 'enable', '--now', ...units], about: 'they start, and with the machine' },
      ];
    }
    case 'argocd':
      return [{ command: ['kubectl', 'apply', '-f', 'application.yaml'], about: 'the Application' }];
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
    `${dir}: secrets have not been made yet: ${missing.join(', ')}`,
    {
      next: `sh ${join(dir, 'secrets.sh')}`,
    },
  );
}

/** A program of this machine, with its words; never a shell. */
interface Step {
  command: readonly string[];
  about: string;
}

export interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** What it says meanwhile, line by line. */
  onLine?: ((line: string) => void) | undefined;
}

/** @returns what it printed @throws AIOT_DEPLOY_FAILED (it is not here, or ended with another code than 0), AIOT_INTERRUPTED */
export async function runStep(
  { command }: Step,
  { cwd, env = process.env, signal, onLine }: RunOptions,
): Promise<string> {
  const [program = '', ...words] = command;
  const shown = command.join(' ');
  return new Promise((resolve, reject) => {
    const child = startProgram(program, words, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal ? { signal } : {}),
    });
    let out = '';
    let last = '';
    const lines = (chunk: string) => {
      for (const line of chunk.split('\n')) {
        if (line.trim() === '') continue;
        last = line.trim();
        onLine?.(line);
      }
    };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
      lines(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', lines);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (signal?.aborted) return reject(signal.reason);
      const why = cause.code === 'ENOENT' ? `${program} is not on this machine` : cause.message;
      reject(new AiotError('AIOT_DEPLOY_FAILED', `${shown}: ${why}`, { cause }));
    });
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else
        reject(
          new AiotError(
            'AIOT_DEPLOY_FAILED',
            `${shown}: ended with ${code}${last === '' ? '' : `: ${last}`}`,
          ),
        );
    });
  });
}

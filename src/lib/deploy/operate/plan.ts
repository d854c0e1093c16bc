import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AiotError } from '../../core/index.js';
import { at, type DeployFolder, listAt, textAt } from '../check/index.js';
import { renderedTargets } from '../folder.js';
import { type TargetName, targetNames } from '../targets.js';
import type { Step } from './run.js';

/** Targets that something of this machine applies. */
export const appliedTargets = ['k3s', 'compose', 'systemd', 'argocd'] as const satisfies TargetName[];
export type AppliedTarget = (typeof appliedTargets)[number];

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
export function stepsOf(target: AppliedTarget, folder: DeployFolder): Step[] {
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

import { AiotError, cacheFolder, configFolder, dataFolder } from '../core/index.js';
import { checkClock } from './checks/clock.js';
import { checkContexts } from './checks/contexts.js';
import { checkDisk } from './checks/disk.js';
import { checkFolder } from './checks/folders.js';
import { checkLibraries } from './checks/libraries.js';
import { checkNode } from './checks/node.js';
import { checkPort } from './checks/ports.js';
import { type Diagnosis, type DoctorOptions, type Finding, fail } from './finding.js';

/** All checks; they do not depend on each other, and one that breaks is a finding like any other. */
export async function examine(options: DoctorOptions): Promise<Diagnosis> {
  const { env, ports, signal } = options;
  const groups: [string, () => Promise<Finding[]> | Finding[]][] = [
    ['node', () => [checkNode(process.versions.node)]],
    ['libraries', () => checkLibraries()],
    ['config folder', () => checkFolder('config folder', configFolder(env), 'private')],
    ['data folder', () => checkFolder('data folder', dataFolder(env), 'any')],
    ['cache folder', () => checkFolder('cache folder', cacheFolder(env), 'any')],
    ['disk', async () => [await checkDisk(dataFolder(env))]],
    ['port http', async () => [await checkPort('port http', ports.http, '--http-port')]],
    ['port mqtts', async () => [await checkPort('port mqtts', ports.mqtts, '--mqtt-port')]],
    ['clock', () => [checkClock(options.now())]],
    ['contexts', () => checkContexts(env, options)],
  ];
  const checks: Finding[] = [];
  for (const [name, check] of groups) {
    signal.throwIfAborted();
    checks.push(...(await guarded(name, check)));
  }
  return { healthy: checks.every(({ status }) => status !== 'fail'), checks };
}

async function guarded(name: string, check: () => Promise<Finding[]> | Finding[]): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    const next = error instanceof AiotError ? error.next : 'Report this with the output of --debug.';
    return [fail(name, error instanceof Error ? error.message : String(error), next)];
  }
}

import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  configFolder,
  formatDuration,
  loadProject,
  missingGroups,
  namePattern,
  ownFolders,
  packageRoot,
  packagesOf,
  readContexts,
  requireFile,
  shellWord,
  whoRuns,
  writeUnit,
} from '../../../core/index.js';
import { secretIn } from '../../../stream/index.js';
import { outputSettings } from '../../output/index.js';
import { cautionsFor } from './cautions.js';
import { devicesFor } from './devices.js';
import { loopUnit } from './unit.js';

/** What is asked of the service: of the loop, what `loop run` is asked. */
export interface InstallLoopOptions {
  project: string;
  name?: string | undefined;
  sensor?: string | undefined;
  model?: string | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
  vote?: string | undefined;
  holdMs?: number | undefined;
  send?: 'change' | 'always' | undefined;
  out?: readonly string[] | undefined;
  listen?: string | undefined;
  context?: string | undefined;
  /** Its user; `dynamic` = one that systemd makes up. Default: who asks, or `dynamic` where that is root. */
  user?: string | undefined;
  memory: string;
  cpu?: string | undefined;
  /** Folder for the unit; default: systemd's own. */
  unitDir?: string | undefined;
  dryRun: boolean;
}

export const installedLoopSchema = z.object({
  service: z.string(),
  file: z.string(),
  user: z.string(),
  written: z.boolean(),
  unit: z.string(),
  /** Where NAME=VALUE lines with secrets go. */
  secrets: z.string(),
  /** What starts it, in this order. */
  start: z.array(z.string()),
  /** What to know before. */
  cautions: z.array(z.string()),
});
export type InstalledLoop = z.output<typeof installedLoopSchema>;

const systemFolder = '/etc/systemd/system';

/**
 * Writes the unit of a service that runs this project's loop with this installation of aiot, from the start of the machine.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_USAGE (a secret in an address, no such user), AIOT_STREAM_URL,
 *   AIOT_FILE_NOT_WRITABLE
 */
export async function installLoop(options: InstallLoopOptions): Promise<InstalledLoop> {
  const project = await loadProject(options.project);
  const { loop } = project.config;
  const name = options.name ?? project.config.name;
  if (!namePattern.test(name)) throw new AiotError('AIOT_USAGE', `a loop cannot be called "${name}"`);
  if (!/^\d+[KMGT]?$/.test(options.memory)) throw notA('--memory', 'a size such as 300M', options.memory);
  if (options.cpu !== undefined && !/^[1-9]\d*%$/.test(options.cpu))
    throw notA('--cpu', 'a share such as 50%', options.cpu);
  const outputs = options.out ?? loop.out;
  for (const url of outputs) outputSettings(url, 'change');
  const secrets = `/etc/aiot/loop-${name}.env`;
  for (const url of [options.sensor, ...(options.out ?? [])])
    if (url !== undefined) refuseSecret(url, secrets);
  const { user, home } = await whoRuns(options.user);
  const folder = home === undefined ? configFolder() : configFolder({ HOME: home, ...ownFolders() });
  const config = {
    folder: resolve(folder),
    files: await present(folder, ['contexts.json', 'credentials.json']),
  };
  const model = options.model?.endsWith('.aiot') ? resolve(options.model) : options.model;
  if (model !== undefined && model !== options.model) await requireFile(model);
  const service = `aiot-loop-${name}`;
  const devices = devicesFor([options.sensor ?? loop.sensor ?? '', ...outputs], options.delegate);
  const missing = await missingGroups(devices.groups);
  // A unit with a group that there is not does not start. One for another machine is left as it is.
  const groups = devices.groups.filter((group) => options.unitDir !== undefined || !missing.includes(group));
  const unit = loopUnit({
    name,
    command: [
      process.execPath,
      join(packageRoot(), 'bin', 'run.js'),
      'loop',
      'run',
      ...wordsOf(options, project.dir, name, model),
    ],
    project: project.dir,
    user,
    devices: { ...devices, groups },
    reads: [
      dirname(process.execPath),
      packagesOf(packageRoot()),
      project.dir,
      ...(model?.startsWith('/') ? [model] : []),
      ...(await authorities(folder)),
    ],
    config,
    secrets,
    memory: options.memory,
    cpu: options.cpu,
  });
  const file = join(resolve(options.unitDir ?? systemFolder), `${service}.service`);
  if (!options.dryRun) await writeUnit(file, unit, options.unitDir === undefined);
  return {
    service: `${service}.service`,
    file,
    user: user ?? 'dynamic',
    written: !options.dryRun,
    unit,
    secrets,
    start: [
      ...(options.unitDir === undefined ? [] : [`sudo install -m 644 ${shellWord(file)} ${systemFolder}/`]),
      'sudo systemctl daemon-reload',
      `sudo systemctl enable --now ${service}`,
      `aiot loop status ${name}`,
    ],
    cautions: cautionsFor({ sensor: options.sensor ?? loop.sensor, outputs: outputs.length, user, missing }),
  };
}

function wordsOf(
  options: InstallLoopOptions,
  project: string,
  name: string,
  model: string | undefined,
): string[] {
  const { sensor, delegate, vote, holdMs, send, out = [], listen, context } = options;
  const hold = holdMs === undefined ? undefined : formatDuration(holdMs);
  const flags = { project, name, sensor, model, delegate, vote, hold, send, listen, context };
  const given = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag}`, value],
  );
  return [...given, ...out.flatMap((url) => ['--out', url])];
}

function notA(flag: string, expected: string, got: string): AiotError {
  return new AiotError('AIOT_USAGE', `${flag}: expected ${expected}, got "${got}"`);
}

function refuseSecret(url: string, secrets: string): void {
  // A sensor's address need not be a stream's.
  const found = /^[a-z][\w+.-]*:/i.test(url) ? secretIn(url) : undefined;
  if (!found) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${found.endpoint}: expected an address without ${found.what}, for a service's file is no secret`,
    {
      next: `aiot stream login ${found.endpoint}, then the same without it; or write AIOT_OUT=… (AIOT_SENSOR=…) into ${secrets}, mode 0600, which the service reads.`,
    },
  );
}

async function present(folder: string, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    names.map((name) =>
      access(join(folder, name)).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** CAs of platforms, which their contexts name by path. */
async function authorities(folder: string): Promise<string[]> {
  const { contexts } = await readContexts(folder);
  return Object.values(contexts).flatMap(({ ca }) => (ca === undefined ? [] : [resolve(ca)]));
}

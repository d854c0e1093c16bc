import { rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { makeFolder, syncFolder } from '../../core/files.js';
import { configFolder, packageRoot } from '../../core/folders.js';
import { ownFolders, packagesOf, platformUnit, whoRuns, writeUnit } from '../../core/systemd.js';
import { shellWord } from '../../core/text.js';
import { secretIn } from '../../stream/url.js';
import { absolute, argumentsOf, engineArguments, platformFolder, type UpOptions } from './options.js';

interface InstallPlatformOptions {
  up: UpOptions;
  /**
   * User that the service runs as; `dynamic` = allocated by systemd. Default: the caller, or `dynamic` if the caller is
   * root.
   */
  user?: string | undefined;
  memory: string;
  /** Folder for the unit; default: systemd's own. */
  unitDir?: string | undefined;
  dryRun: boolean;
}

export const installedPlatformSchema = z.object({
  service: z.string(),
  file: z.string(),
  user: z.string(),
  /** Folder of the platform. */
  data: z.string(),
  /** Folder in which the first start stores the operator's token and key. */
  config: z.string(),
  written: z.boolean(),
  unit: z.string(),
  /** File for NAME=VALUE lines with secrets. */
  secrets: z.string(),
  /** Commands that start the service, in order. */
  start: z.array(z.string()),
});

export type InstalledPlatform = z.output<typeof installedPlatformSchema>;

export const uninstalledPlatformSchema = z.object({
  file: z.string(),
  /** False if there was no unit, or with --dry-run. */
  removed: z.boolean(),
  /** Commands that stop the service, in order. */
  stop: z.array(z.string()),
});

type UninstalledPlatform = z.output<typeof uninstalledPlatformSchema>;

const service = 'aiot-platform';
const systemFolder = '/etc/systemd/system';
const secrets = '/etc/aiot/platform.env';

/**
 * Writes a service unit that runs the platform with this installation of aiot, starting at boot.
 * @throws AIOT_USAGE (a secret in an address, no such user, no size), AIOT_FILE_NOT_WRITABLE
 */
export async function installPlatform(options: InstallPlatformOptions): Promise<InstalledPlatform> {
  const { up, memory, unitDir, dryRun } = options;
  if (!/^\d+[KMGT]?$/.test(memory)) {
    throw new AiotError('AIOT_USAGE', `--memory: expected a size such as 1G, got "${memory}"`);
  }
  // The name of an ingest engine is not an address.
  for (const url of Object.values(up.engines ?? {})) if (url?.includes(':')) refuseSecret(url);
  const { user, home } = await whoRuns(options.user);
  const own = user !== undefined && home !== undefined;
  const data = own || up.data !== undefined ? platformFolder(up.data) : undefined;
  const config = own ? resolve(configFolder({ HOME: home, ...ownFolders() })) : undefined;
  const shown = {
    data: data ?? `/var/lib/${service}/platform`,
    config: config ?? `/var/lib/${service}/config`,
  };
  if (!dryRun && unitDir === undefined)
    for (const folder of [data, config]) if (folder) await makeFolder(folder, 0o700);
  const { cert, key } = up.serverCertificate ?? {};
  const files = [cert, key].flatMap((path) => (path === undefined ? [] : [resolve(path)]));
  const unit = platformUnit({
    ...{ service, user, data, config, secrets, memory },
    command: [
      process.execPath,
      join(packageRoot(), 'bin', 'run.js'),
      ...argumentsOf(data, absolute(up)),
      ...engineArguments(up).flat(),
    ],
    reads: [dirname(process.execPath), packagesOf(packageRoot()), ...files],
    lowPorts: [up.httpPort, up.mqttPort, up.wsPort ?? 0].some((port) => port > 0 && port < 1024),
  });
  const file = join(resolve(unitDir ?? systemFolder), `${service}.service`);
  if (!dryRun) await writeUnit(file, unit, unitDir === undefined);
  return {
    ...{
      service: `${service}.service`,
      file,
      user: user ?? 'dynamic',
      ...shown,
      written: !dryRun,
      unit,
      secrets,
    },
    start: [
      ...(unitDir === undefined ? [] : [`sudo install -m 644 ${shellWord(file)} ${systemFolder}/`]),
      'sudo systemctl daemon-reload',
      `sudo systemctl enable --now ${service}`,
      config === undefined ? `sudo AIOT_CONFIG_DIR=${shellWord(shown.config)} aiot status` : 'aiot status',
    ],
  };
}

/** Removes the unit; the platform's folder is left unchanged. @throws AIOT_FILE_NOT_WRITABLE */
export async function uninstallPlatform({
  unitDir,
  dryRun,
}: Pick<InstallPlatformOptions, 'unitDir' | 'dryRun'>): Promise<UninstalledPlatform> {
  const file = join(resolve(unitDir ?? systemFolder), `${service}.service`);
  const stop = [`sudo systemctl disable --now ${service}`, 'sudo systemctl daemon-reload'];
  if (dryRun) return { file, removed: false, stop };
  try {
    await rm(file);
    await syncFolder(dirname(file));
    return { file, removed: true, stop };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { file, removed: false, stop };
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot remove ${file}`, {
      cause: error,
      next: 'Run the command again with sudo.',
    });
  }
}

function refuseSecret(url: string): void {
  const found = secretIn(url);
  if (!found) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${found.endpoint}: expected an address without ${found.what}, because a service file is not secret`,
    {
      next: `Put AIOT_DATABASE=…, AIOT_BLOBS=…, AIOT_EVENTS=…, AIOT_BROKER=…, AIOT_INGEST=… or AIOT_BROKER_CONTROL=… in ${secrets} (mode 0600), which the service reads.`,
    },
  );
}

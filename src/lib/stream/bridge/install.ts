import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AiotError, configFolder, dataFolder, packageRoot, writeFileAtomic } from '../../core/index.js';
import { parseStreamUrl } from '../url.js';
import { unitText } from './unit.js';

export interface InstallOptions {
  /** Of the service: `aiot-NAME`. */
  name: string;
  /** What follows `aiot`: the command with its arguments. */
  words: readonly string[];
  /** Addresses among them: none may have a password in it. */
  urls: readonly string[];
  scope: 'system' | 'user';
  /** Show it, and write nothing. */
  dryRun: boolean;
}

export const installedSchema = z.object({
  service: z.string(),
  file: z.string(),
  scope: z.enum(['system', 'user']),
  written: z.boolean(),
  unit: z.string(),
  /** What starts it, in this order. */
  start: z.array(z.string()),
});
export type Installed = z.output<typeof installedSchema>;

/**
 * Writes the unit of a service that runs this command with this installation of aiot and this user's credentials.
 * @throws AIOT_USAGE for a password in an address: everybody can read a unit; AIOT_FILE_NOT_WRITABLE
 */
export async function installService(options: InstallOptions): Promise<Installed> {
  const { name, words, urls, scope, dryRun } = options;
  for (const url of urls) {
    const { password, endpoint } = parseStreamUrl(url);
    if (password === undefined) continue;
    throw new AiotError(
      'AIOT_USAGE',
      `${endpoint}: expected an address without a password, for a service's file is no secret`,
      {
        next: `aiot stream login ${endpoint}, then the same without the password`,
      },
    );
  }
  const service = `aiot-${name}.service`;
  const folder =
    scope === 'system'
      ? '/etc/systemd/system'
      : join(process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'systemd', 'user');
  const file = join(folder, service);
  const unit = unitText({
    description: `aiot ${words.slice(0, 3).join(' ')} (${name})`,
    command: [process.execPath, join(packageRoot(), 'bin', 'run.js'), ...words],
    scope,
    environment: { AIOT_CONFIG_DIR: resolve(configFolder()), AIOT_DATA_DIR: resolve(dataFolder()) },
    user: userInfo().username,
    folder: process.cwd(),
  });
  if (!dryRun) await writeFileAtomic(file, unit);
  const control = scope === 'system' ? 'sudo systemctl' : 'systemctl --user';
  return {
    service,
    file,
    scope,
    written: !dryRun,
    unit,
    start: [`${control} daemon-reload`, `${control} enable --now ${service}`],
  };
}

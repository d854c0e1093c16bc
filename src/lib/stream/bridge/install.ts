import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  configFolder,
  dataFolder,
  packageRoot,
  userName,
  writeFileAtomic,
} from '../../core/index.js';
import { type FoundSecret, secretIn } from '../secrets.js';
import { parseStreamUrl } from '../url.js';
import { unitText } from './unit.js';

export interface InstallOptions {
  /** Of the service: `aiot-NAME`. */
  name: string;
  /** What follows `aiot`: the command with its arguments. */
  words: readonly string[];
  /** All addresses among them, where from, where to, then others: none may have a secret in it. */
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
 * @throws AIOT_USAGE for a password, a token or any other secret in an address: everybody can read a unit; AIOT_FILE_NOT_WRITABLE
 */
export async function installService(options: InstallOptions): Promise<Installed> {
  const { name, words, urls, scope, dryRun } = options;
  const secrets = join(resolve(configFolder()), `${name}.env`);
  for (const url of urls) {
    const found = secretIn(url);
    if (found) throw refusal(found, secrets);
  }
  const service = `aiot-${name}.service`;
  const folder =
    scope === 'system'
      ? '/etc/systemd/system'
      : join(process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'systemd', 'user');
  const file = join(folder, service);
  const unit = unitText({
    description: `aiot stream bridge ${endpointsOf(urls.slice(0, 2))} (${name})`,
    command: [process.execPath, join(packageRoot(), 'bin', 'run.js'), ...words],
    scope,
    environment: { AIOT_CONFIG_DIR: resolve(configFolder()), AIOT_DATA_DIR: resolve(dataFolder()) },
    secrets,
    user: userName(),
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

const endpointsOf = (urls: readonly string[]) => urls.map((url) => parseStreamUrl(url).endpoint).join(' to ');

function refusal({ what, endpoint, name }: FoundSecret, secrets: string): AiotError {
  const where = name === undefined ? '' : ` (${name})`;
  const next =
    name === 'secret' && /^https?:/.test(endpoint)
      ? `Write AIOT_STREAM_SECRET=… into ${secrets} (mode 0600), which the service reads, then the same without it.`
      : name !== undefined || /^(rtsps?|rtmp|srt|udp|camera):/.test(endpoint)
        ? `Put the address into a route file as \${NAME}, NAME=… into a file of mode 0600, and run \`aiot stream route run FILE\` by a service with EnvironmentFile= of it.`
        : `aiot stream login ${endpoint}, then the same without what stands before the @`;
  return new AiotError(
    'AIOT_USAGE',
    `${endpoint}: expected an address without ${what}${where}, for a service's file is no secret`,
    { next },
  );
}

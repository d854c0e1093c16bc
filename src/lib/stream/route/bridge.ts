import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { configFolder, dataFolder, packageRoot } from '../../core/folders.js';
import {
  unitFile,
  unitFolder,
  unitQuoted,
  unitSections,
  unitValue,
  unitWord,
  userName,
} from '../../core/systemd.js';
import { type FoundSecret, parseStreamUrl, secretIn } from '../url.js';
import { routeOf } from './load.js';
import type { Route } from './types.js';

/** Options of `stream bridge`, apart from its two addresses: a route's fields. */
export interface BridgeOptions {
  from: string;
  to: string;
  name?: string;
  decode?: string;
  where?: string;
  map?: string;
  each?: boolean;
  topic?: string;
  messageKey?: string;
  /** Headers to set, each `NAME=EXPRESSION`. */
  headers?: readonly string[];
  onError?: 'retry' | 'skip';
  /** Address for messages that fail; takes precedence over `onError`. */
  deadLetter?: string;
  batch?: number;
  /** How long a write waits for more messages, such as `20ms`. */
  batchTime?: string;
  dedupe?: string;
  dedupeWindow?: string;
  exactlyOnce?: boolean;
  /** Folder of the spool. */
  spool?: string;
  /** Maximum size of the spool, such as `1GB`. */
  spoolLimit?: string;
  spoolFull?: 'wait' | 'drop-oldest';
}

/** The route for the options of `stream bridge`. @throws AIOT_ROUTE_INVALID, AIOT_STREAM_URL, AIOT_USAGE */
export function bridgeRoute(options: BridgeOptions): Route {
  const { from, to, name = bridgeName(from, to), spool, dedupe } = options;
  const lone = (flag: string, value: unknown, needs: string) => {
    if (value !== undefined) throw new AiotError('AIOT_USAGE', `--${flag} also needs --${needs}`);
  };
  if (spool === undefined) {
    lone('spool-limit', options.spoolLimit, 'spool');
    lone('spool-full', options.spoolFull, 'spool');
  }
  if (dedupe === undefined) {
    lone('dedupe-window', options.dedupeWindow, 'dedupe');
    lone('exactly-once', options.exactlyOnce || undefined, 'dedupe');
  }
  const { onError = 'retry', deadLetter } = options;
  const fields: Record<string, unknown> = {
    from,
    to,
    decode: options.decode,
    where: options.where,
    map: options.map,
    each: options.each,
    topic: options.topic,
    key: options.messageKey,
    headers: headersOf(options.headers),
    onError: deadLetter === undefined ? onError : { 'dead-letter': deadLetter },
    batch: defined({ messages: options.batch, time: options.batchTime }),
    dedupe:
      dedupe === undefined
        ? undefined
        : defined({ key: dedupe, window: options.dedupeWindow, exactlyOnce: options.exactlyOnce }),
    spool:
      spool === undefined
        ? undefined
        : defined({ path: spool, limit: options.spoolLimit, full: options.spoolFull }),
  };
  return routeOf(name, defined(fields));
}

/**
 * Name of the route between two addresses, such as `mqtt-to-kafka-1a2b3c`. A pair of addresses always gets the same
 * name, so that the names of the Kafka group and the service do not change.
 */
function bridgeName(from: string, to: string): string {
  const [source, target] = [parseStreamUrl(from), parseStreamUrl(to)];
  const places = [source, target].map(({ endpoint, path }) => `${endpoint}/${path}`).join(' ');
  const short = createHash('sha256').update(places).digest('hex').slice(0, 6);
  return `${source.scheme}-to-${target.scheme}-${short}`;
}

function headersOf(texts: readonly string[] | undefined): Record<string, string> | undefined {
  if (!texts) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      throw new AiotError('AIOT_USAGE', `--header: expected NAME=EXPRESSION, got "${text}"`);
    }),
  );
}

function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== false),
  );
}

interface InstallOptions {
  /** The NAME in the service's name `aiot-NAME`. */
  name: string;
  /** The `aiot` command to run, and its arguments. */
  words: readonly string[];
  /** All addresses in `words`: sources, sinks, then others. An address with a secret is rejected. */
  urls: readonly string[];
  scope: 'system' | 'user';
  /** Whether to show the unit without writing anything. */
  dryRun: boolean;
}

export const installedSchema = z.object({
  service: z.string(),
  file: z.string(),
  scope: z.enum(['system', 'user']),
  written: z.boolean(),
  unit: z.string(),
  /** Commands that start the service, in this order. */
  start: z.array(z.string()),
});

export type Installed = z.output<typeof installedSchema>;

/**
 * Writes the unit for a systemd service that runs this command with this installation of aiot and this user's
 * credentials.
 * @throws AIOT_USAGE for a password, a token or any other secret in an address, because units are world-readable;
 * AIOT_FILE_NOT_WRITABLE
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
      ? `Write AIOT_STREAM_SECRET=… to ${secrets} (mode 0600), which the service reads, then repeat the command without the secret.`
      : name !== undefined || /^(rtsps?|rtmp|srt|udp|camera):/.test(endpoint)
        ? `Put the address in a route file as \${NAME} and NAME=… in a file with mode 0600. Run \`aiot stream route run FILE\` in a service with EnvironmentFile=.`
        : `Run \`aiot stream login ${endpoint}\`, then repeat the command without the part before the @.`;
  return new AiotError(
    'AIOT_USAGE',
    `${endpoint}: expected an address without ${what}${where}, because a service file is not secret`,
    { next },
  );
}

/** A systemd service that runs an aiot command continuously. */
interface UnitOptions {
  /** Description of the service in `systemctl status`, one line. */
  description: string;
  /** Program and arguments, each as one word. */
  command: readonly string[];
  /** `system` starts the service at boot. `user` starts it with the user's session, or at boot after `loginctl enable-linger`. */
  scope: 'system' | 'user';
  /** Environment variables that aiot reads: its folders, never a secret. */
  environment: Readonly<Record<string, string>>;
  /** Optional file of NAME=VALUE lines for the service's environment, which may contain secrets. */
  secrets?: string;
  /** User of a system service. */
  user?: string;
  /** Working directory, to which relative paths refer. */
  folder: string;
}

/** The text of the unit (systemd.unit(5), systemd.service(5)). */
export function unitText({
  description,
  command,
  scope,
  environment,
  secrets,
  user,
  folder,
}: UnitOptions): string {
  const variables = Object.entries(environment).map(
    ([name, value]) => `Environment=${unitQuoted(`${name}=${unitValue(value)}`)}`,
  );
  return unitSections({
    Unit: [
      `Description=${unitValue(description)}`,
      ...(scope === 'system' ? ['Wants=network-online.target', 'After=network-online.target'] : []),
      // The service is restarted without limit, because outages can last arbitrarily long.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=exec',
      `ExecStart=${command.map(unitWord).join(' ')}`,
      `WorkingDirectory=${unitFolder(folder)}`,
      ...variables,
      ...(secrets === undefined ? [] : [`EnvironmentFile=-${unitFile(secrets)}`]),
      ...(scope === 'system' && user !== undefined ? [`User=${user}`] : []),
      'Restart=on-failure',
      'RestartSec=5',
      '# On SIGTERM, messages already read are written and acknowledged, and the bridge exits with 0.',
      'TimeoutStopSec=30',
      'NoNewPrivileges=yes',
    ],
    Install: [`WantedBy=${scope === 'system' ? 'multi-user.target' : 'default.target'}`],
  });
}

import { Flags, type Interfaces } from '@oclif/core';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { compatibilities } from '../../platform/options.js';
import type { UpOptions } from '../../platform/up/options.js';
import { isScope, roles } from '../../registry/access.js';
import { eventTypeSchema } from '../../registry/events/api.js';
import { duration, setFlag, shared, sizeInBytes, variablesOf } from './shared.js';

const port = (summary: string, env: string, value: number) =>
  Flags.integer({ summary, env, default: value, min: 0, max: 65_535 });

const engine = (summary: string, env: string) => Flags.string({ summary, env, helpValue: 'URL' });

/** The flags of `aiot up`. */
export const upFlags = {
  data: Flags.string({
    summary: "Folder of the platform; the user's data folder when absent.",
    env: 'AIOT_DATA',
    helpValue: 'DIR',
  }),
  host: Flags.string({
    summary: 'Address to listen on; 0.0.0.0 for all of this machine.',
    default: '127.0.0.1',
    env: 'AIOT_HOST',
  }),
  public: Flags.string({
    summary:
      'Names and addresses that devices and people reach it by, with commas: the first is in its URLs, all are in its certificate.',
    env: 'AIOT_PUBLIC',
    helpValue: 'NAME,…',
  }),
  'http-port': port('Port of the API; 0 = any free one.', 'AIOT_HTTP_PORT', 8443),
  'mqtt-port': port('Port of the broker; 0 = any free one.', 'AIOT_MQTT_PORT', 8883),
  plain: Flags.boolean({ summary: 'Listen for MQTT without TLS too, on loopback.', env: 'AIOT_PLAIN' }),
  'plain-port': port('Port of the listener without TLS; 0 = any free one.', 'AIOT_PLAIN_PORT', 1883),
  'ws-port': Flags.integer({
    summary: 'Listen for MQTT over WebSocket with TLS on this port; 0 = any free one.',
    env: 'AIOT_WS_PORT',
    min: 0,
    max: 65_535,
  }),
  cert: Flags.string({
    summary: 'PEM file of the server’s certificate, when another CA’s is to be shown.',
    env: 'AIOT_CERT',
    helpValue: 'FILE',
    dependsOn: ['key'],
  }),
  key: Flags.string({
    summary: 'PEM file of its private key.',
    env: 'AIOT_KEY',
    helpValue: 'FILE',
    dependsOn: ['cert'],
  }),
  detach: Flags.boolean({ char: 'd', summary: 'Run on in the background.', env: 'AIOT_DETACH' }),
  log: Flags.option({ options: ['text', 'json'] as const })({
    summary: 'Form of the log in the foreground; text on a terminal and json in a pipe when absent.',
    env: 'AIOT_LOG',
  }),
  'new-token': Flags.boolean({ summary: 'Make a further operator token.', env: 'AIOT_NEW_TOKEN' }),
  'no-token': Flags.boolean({
    summary: 'Make none, not even at the first start: for services whose output is kept in a log.',
    env: 'AIOT_NO_TOKEN',
    exclusive: ['new-token'],
  }),
  database: engine('Keep state in PostgreSQL: postgres://USER@HOST/NAME.', 'AIOT_DATABASE'),
  blobs: engine('Keep blobs in S3: s3://BUCKET?endpoint=https://HOST.', 'AIOT_BLOBS'),
  events: engine('Send telemetry and events on to kafka://HOST:PORT or nats://HOST:PORT.', 'AIOT_EVENTS'),
  broker: engine('Use the MQTT broker at mqtt(s)://HOST:PORT instead of an own one.', 'AIOT_BROKER'),
  compat: Flags.option({ options: compatibilities, multiple: true })({
    summary: 'Let clients of other systems in as they are, untrusted, on listeners of their own.',
    env: 'AIOT_COMPAT',
  }),
  'compat-ports': Flags.string({
    summary: 'Their ports: MQTT, device registry, model registry, training datastore; 0 = any free one.',
    env: 'AIOT_COMPAT_PORTS',
    default: '30005,30006,30007,30008',
  }),
  'compat-max-rows': Flags.integer({
    summary: 'Rows of telemetry in one file of raw training data; 0 leaves that to an ingest of your own.',
    env: 'AIOT_COMPAT_MAX_ROWS',
    default: 10,
    min: 0,
  }),
  'compat-quota': sizeInBytes({
    summary: 'Take no more of them than so much in all.',
    env: 'AIOT_COMPAT_QUOTA',
    defaultHelp: async () => '10GiB',
  }),
  'compat-delete-all': Flags.boolean({
    summary: 'Let anybody empty their stores with /deleteAllData, as it was.',
    env: 'AIOT_COMPAT_DELETE_ALL',
  }),
  'ddi-port': Flags.integer({
    summary: 'Listen for hawkBit’s device API without TLS too on this port; 0 = any free one.',
    env: 'AIOT_DDI_PORT',
    min: 0,
    max: 65_535,
  }),
  'ddi-poll': duration({
    summary: 'How often SWUpdate, RAUC and other clients of hawkBit’s device API are to ask: 1s to 23h.',
    env: 'AIOT_DDI_POLL',
    default: 300_000,
  }),
  context: shared.context,
  project: Flags.string({
    ...{ char: 'p', env: 'AIOT_PROJECT', helpValue: 'DIR' },
    summary: 'Run what the aiot.yaml in DIR has under up: routes, a listener for boards.',
  }),
  set: setFlag,
  'board-port': Flags.integer({
    summary: 'Port of the listener for boards [default: the project’s]; 0 = any free one.',
    env: 'AIOT_BOARD_PORT',
    min: 0,
    max: 65_535,
  }),
} as const;

type UpFlags = Interfaces.InferredFlags<typeof upFlags>;

/** What the flags say, for `up`. @throws AIOT_USAGE */
export function upOptionsOf(flags: UpFlags): UpOptions {
  const { data, host, context, compat, database, blobs, events, broker, cert, key, plain } = flags;
  const { project: dir } = flags;
  return {
    ...{ data, host, context, compat },
    names: namesOf(flags.public),
    httpPort: flags['http-port'],
    mqttPort: flags['mqtt-port'],
    plainPort: plain ? flags['plain-port'] : undefined,
    wsPort: flags['ws-port'],
    newToken: flags['new-token'],
    noToken: flags['no-token'],
    engines: { database, blobs, events, broker },
    serverCertificate: cert === undefined || key === undefined ? undefined : { cert, key },
    compatPorts: portsOf(flags['compat-ports']),
    compatMaxRows: flags['compat-max-rows'],
    compatQuota: flags['compat-quota'],
    compatDeleteAll: flags['compat-delete-all'],
    ddiPort: flags['ddi-port'],
    ddiPollMs: pollOf(flags['ddi-poll']),
    project:
      dir === undefined ? undefined : { dir, boardPort: flags['board-port'], set: variablesOf(flags.set) },
  };
}

/** @throws AIOT_USAGE */
export function namesOf(text: string | undefined): string[] | undefined {
  const names = text?.split(',').map((name) => name.trim());
  const wrong = names?.find((name) => !/^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(name));
  if (wrong !== undefined)
    throw new AiotError(
      'AIOT_USAGE',
      `--public: expected host names and addresses with commas, got "${wrong}"`,
    );
  return names;
}

/** Clients know `HH:MM:SS` of one day, and one takes zero for once a second. */
function pollOf(ms: number): number {
  if (ms >= 1000 && ms <= 23 * 3_600_000) return ms;
  throw new AiotError('AIOT_USAGE', '--ddi-poll: expected 1s to 23h');
}

function portsOf(text: string): [number, number, number, number] {
  const ports = text.split(',').map((part) => (/^\d{1,5}$/.test(part.trim()) ? Number(part) : Number.NaN));
  const [mqtt, devices, models, datasets] = ports;
  if (ports.length !== 4 || ports.some((port) => !(port >= 0 && port <= 65_535))) {
    throw new AiotError(
      'AIOT_USAGE',
      `--compat-ports: expected four ports such as 30005,30006,30007,30008, got ${text}`,
    );
  }
  return [mqtt ?? 0, devices ?? 0, models ?? 0, datasets ?? 0];
}

/** What a user or a token may. */
export const roleFlag = Flags.option({
  options: roles,
  summary: 'What it may: viewer reads, ci uploads and rolls out, operator does everything.',
  env: 'AIOT_ROLE',
});

/** What a token is narrowed to. @throws AIOT_USAGE */
export const scopeFlag = Flags.custom<string>({
  summary: 'Narrow it to this, such as models:push; may be repeated.',
  env: 'AIOT_SCOPE',
  helpValue: 'SCOPE',
  parse: async (text) => {
    if (isScope(text)) return text;
    throw new AiotError(
      'AIOT_USAGE',
      `--scope: expected NOUN:ACTION such as models:push or devices:read, or stream:FILTER such as stream:lab/#; got ${JSON.stringify(text)}`,
    );
  },
});

const yearMs = 365 * 86_400_000;

/** The offline keys that sign the next root. */
export const rootKeyFlag = Flags.string({
  summary: 'File of an offline root key; as often as the threshold wants.',
  env: 'AIOT_ROOT_KEY',
  helpValue: 'FILE',
  multiple: true,
  required: true,
});

export const rootValidFlag = duration({
  summary: 'How long the new root is good.',
  env: 'AIOT_EXPIRES',
  default: yearMs,
});

export const trustOutFlag = Flags.string({
  char: 'o',
  summary: 'Folder for new root keys: best on a medium that is taken away.',
  env: 'AIOT_OUT',
  helpValue: 'DIR',
});

/** A place in the events: an id, or `now`. */
export const eventFrom = Flags.custom<number | 'now'>({
  parse: async (text) => {
    if (text === 'now') return text;
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new AiotError('AIOT_USAGE', `--from: expected the id of an event, 0 or now, got ${text}`);
  },
});

/** Types of events, comma-separated: `device.connect`, `device.*`, `*`. */
export const eventTypes = Flags.custom<string[]>({
  parse: async (text) => {
    const types = text.split(',').map((type) => type.trim());
    const wrong = types.find((type) => !eventTypeSchema.safeParse(type).success);
    if (wrong === undefined) return types;
    throw new AiotError(
      'AIOT_USAGE',
      `--type: expected a type such as device.connect or device.*, got "${wrong}"`,
    );
  },
});

const requestSchema = z.record(z.string(), z.unknown());

/** What a job is asked for: an object in JSON. */
export const jobRequest = Flags.custom<Record<string, unknown>>({
  parse: async (text) => {
    try {
      return requestSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new AiotError(
        'AIOT_USAGE',
        `--request: expected a JSON object such as '{"stream":"imu"}', got ${text}`,
        {
          cause,
        },
      );
    }
  },
});

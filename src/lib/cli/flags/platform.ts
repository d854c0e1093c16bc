import { Flags, type Interfaces } from '@oclif/core';
import * as z from 'zod';
import { isScope, type Role, roles } from '../../api/contract/access.js';
import { eventTypeSchema } from '../../api/events/api.js';
import type { AuditHead } from '../../api/events/audit.js';
import { eventTypes as knownEventTypes } from '../../api/events/types.js';
import { AiotError } from '../../core/errors.js';
import { otlpUrl } from '../../core/otlp-options.js';
import { didYouMean } from '../../core/text.js';
import { reachSelector } from '../../platform/access/reach.js';
import type { Compatibility } from '../../platform/options.js';
import type { UpOptions } from '../../platform/up/options.js';
import { duration, setFlag, shared, sizeInBytes, variablesOf } from './shared.js';

const port = (summary: string, env: string, value: number) =>
  Flags.integer({
    summary,
    env,
    helpGroup: 'NETWORK',
    helpValue: 'PORT',
    default: value,
    min: 0,
    max: 65_535,
  });

const engine = (summary: string, env: string) =>
  Flags.string({ summary, env, helpGroup: 'STORAGE', helpValue: 'URL' });

/** The role of a group at the login provider, for all devices or those that a selector matches. A group's name may contain `=`. */
const groupRole = Flags.custom<string>({
  summary:
    "Give a group's users a role (viewer, ci or operator), for all devices or for some. Repeatable; the highest role counts.",
  env: 'AIOT_OIDC_ROLE',
  helpGroup: 'LOGIN PROVIDER',
  helpValue: 'GROUP=ROLE[:SELECTOR]',
  parse: async (text) => {
    const given = groupRightsOf(text);
    if (given?.selector) reachSelector(given.selector);
    if (given) return text;
    throw new AiotError(
      'AIOT_USAGE',
      `--oidc-role: expected GROUP=ROLE such as staff=viewer, or GROUP=ROLE:SELECTOR, got "${text}"`,
      {
        next: `The roles are ${roles.join(', ')}.`,
      },
    );
  },
});

const groupRights = new RegExp(`^(.+?)=(${roles.join('|')})(?::(.+))?$`, 's');

/** A group with its rights. The first `=ROLE` that ends the text, or is followed by a colon, ends the group's name. */
function groupRightsOf(text: string): { group: string; role: Role; selector?: string } | null {
  const [, group, role, selector] = groupRights.exec(text) ?? [];
  if (group === undefined) return null;
  return { group, role: role as Role, ...(selector !== undefined && { selector }) };
}

/** The flags of `aiot up`. */
export const upFlags = {
  data: Flags.string({
    summary: "The platform's data folder [default: a folder in your user data directory].",
    env: 'AIOT_DATA',
    helpValue: 'DIR',
  }),
  host: Flags.string({
    summary: "Address to listen on; 0.0.0.0 = all of this machine's addresses.",
    default: '127.0.0.1',
    env: 'AIOT_HOST',
    helpGroup: 'NETWORK',
  }),
  public: Flags.string({
    summary:
      'Comma-separated names and addresses at which clients reach the platform: the first is used in URLs, all are in the certificate.',
    env: 'AIOT_PUBLIC',
    helpGroup: 'NETWORK',
    helpValue: 'NAME,…',
  }),
  'http-port': port('API port; 0 = any free port.', 'AIOT_HTTP_PORT', 8443),
  'mqtt-port': port('Broker port; 0 = any free port.', 'AIOT_MQTT_PORT', 8883),
  plain: Flags.boolean({
    summary: 'Also listen for MQTT without TLS, on loopback.',
    env: 'AIOT_PLAIN',
    helpGroup: 'NETWORK',
  }),
  'plain-port': port('Port for the listener without TLS; 0 = any free port.', 'AIOT_PLAIN_PORT', 1883),
  'ws-port': Flags.integer({
    summary: 'Port for MQTT over WebSocket with TLS; 0 = any free port.',
    env: 'AIOT_WS_PORT',
    helpGroup: 'NETWORK',
    min: 0,
    max: 65_535,
  }),
  cert: Flags.string({
    summary: 'PEM file of a server certificate issued by another CA.',
    env: 'AIOT_CERT',
    helpValue: 'FILE',
    dependsOn: ['key'],
  }),
  key: Flags.string({
    summary: "PEM file of the server certificate's private key.",
    env: 'AIOT_KEY',
    helpValue: 'FILE',
    dependsOn: ['cert'],
  }),
  detach: Flags.boolean({ char: 'd', summary: 'Run in the background.', env: 'AIOT_DETACH' }),
  log: Flags.option({ options: ['text', 'json'] as const })({
    summary: 'Log format in the foreground [default: text on a terminal, json otherwise].',
    env: 'AIOT_LOG',
  }),
  'new-token': Flags.boolean({ summary: 'Create an additional operator token.', env: 'AIOT_NEW_TOKEN' }),
  'no-token': Flags.boolean({
    summary: 'Do not create a token, even on the first start. Use this flag if the output is logged.',
    env: 'AIOT_NO_TOKEN',
    exclusive: ['new-token'],
  }),
  database: engine('Store state in PostgreSQL: postgres://USER@HOST/NAME.', 'AIOT_DATABASE'),
  blobs: engine('Store blobs in S3: s3://BUCKET?endpoint=https://HOST.', 'AIOT_BLOBS'),
  events: engine('Forward telemetry and events to kafka://HOST:PORT or nats://HOST:PORT.', 'AIOT_EVENTS'),
  broker: engine(
    'Use the MQTT broker at mqtt(s)://HOST:PORT, or the NATS server at nats(s)://HOST:PORT, instead of the built-in broker.',
    'AIOT_BROKER',
  ),
  ingest: Flags.string({
    summary:
      "How replicas receive devices' messages: mqtt (one replica receives all), jetstream or kafka://HOST:PORT/TOPIC (all replicas share them) [default: jetstream for a NATS server, else mqtt].",
    env: 'AIOT_INGEST',
    helpGroup: 'STORAGE',
    helpValue: 'mqtt|jetstream|URL',
  }),
  'broker-control': Flags.string({
    summary:
      "API of the --broker, which closes suspended devices' connections: emqx+https://KEY:SECRET@HOST, rmqtt+https://TOKEN@HOST, mosquitto+mqtts://USER:PASSWORD@HOST or nats(s)://USER:PASSWORD@HOST.",
    env: 'AIOT_BROKER_CONTROL',
    helpGroup: 'STORAGE',
    helpValue: 'URL',
    dependsOn: ['broker'],
  }),
  'oidc-issuer': Flags.string({
    summary: 'Let users log in with this OpenID Connect provider.',
    env: 'AIOT_OIDC_ISSUER',
    helpGroup: 'LOGIN PROVIDER',
    helpValue: 'URL',
    dependsOn: ['oidc-client', 'oidc-role'],
  }),
  'oidc-client': Flags.string({
    summary: "The platform's client ID at the provider.",
    env: 'AIOT_OIDC_CLIENT',
    helpGroup: 'LOGIN PROVIDER',
    helpValue: 'ID',
    dependsOn: ['oidc-issuer'],
  }),
  'oidc-secret-file': Flags.string({
    summary: "File with the client's secret; or set AIOT_OIDC_SECRET [default: a public client].",
    env: 'AIOT_OIDC_SECRET_FILE',
    helpGroup: 'LOGIN PROVIDER',
    helpValue: 'FILE',
    dependsOn: ['oidc-issuer'],
  }),
  'oidc-groups': Flags.string({
    summary: "Claim with a user's groups, or its path, such as realm_access.roles.",
    env: 'AIOT_OIDC_GROUPS',
    helpGroup: 'LOGIN PROVIDER',
    helpValue: 'CLAIM',
    default: 'groups',
  }),
  'oidc-role': groupRole({ multiple: true }),
  'oidc-recheck': duration({
    summary: 'Interval between checks of logins at the provider, 1s to 30m.',
    env: 'AIOT_OIDC_RECHECK',
    helpGroup: 'LOGIN PROVIDER',
    default: 300_000,
  }),
  otlp: Flags.string({
    summary:
      'Send traces, metrics and logs of the platform to an OpenTelemetry collector [default: OTEL_EXPORTER_OTLP_ENDPOINT].',
    env: 'AIOT_OTLP',
    helpValue: 'URL',
  }),
  'replica-url': Flags.string({
    summary: "Address at which other replicas reach this one [default: this machine's address].",
    env: 'AIOT_REPLICA_URL',
    helpValue: 'URL',
  }),
  'record-shells': Flags.boolean({
    summary: 'Record shells that users open on devices with aiot device shell.',
    env: 'AIOT_RECORD_SHELLS',
  }),
  compat: Flags.option({ options: ['architects-guide'] as const satisfies Compatibility[], multiple: true })({
    summary: 'Accept unmodified clients of another system, as untrusted, on separate listeners.',
    env: 'AIOT_COMPAT',
    helpGroup: 'COMPATIBILITY',
  }),
  'compat-ports': Flags.string({
    summary:
      'Ports of --compat: MQTT, device registry, model registry, training datastore; 0 = any free port.',
    env: 'AIOT_COMPAT_PORTS',
    helpGroup: 'COMPATIBILITY',
    default: '30005,30006,30007,30008',
  }),
  'compat-max-rows': Flags.integer({
    summary: 'Rows of telemetry per file of raw training data; 0 leaves ingestion to your own service.',
    env: 'AIOT_COMPAT_MAX_ROWS',
    helpValue: 'N',
    helpGroup: 'COMPATIBILITY',
    default: 10,
    min: 0,
  }),
  'compat-quota': sizeInBytes({
    summary: 'Total size that --compat clients may store.',
    env: 'AIOT_COMPAT_QUOTA',
    helpGroup: 'COMPATIBILITY',
    defaultHelp: async () => '10GiB',
  }),
  'compat-delete-all': Flags.boolean({
    summary: 'Allow anyone to empty the --compat stores with /deleteAllData, as in the original system.',
    env: 'AIOT_COMPAT_DELETE_ALL',
    helpGroup: 'COMPATIBILITY',
  }),
  'ddi-port': Flags.integer({
    summary: "Port for hawkBit's device API without TLS; 0 = any free port.",
    env: 'AIOT_DDI_PORT',
    helpGroup: 'COMPATIBILITY',
    min: 0,
    max: 65_535,
  }),
  'ddi-poll': duration({
    summary: "Polling interval for SWUpdate, RAUC and other clients of hawkBit's device API: 1s to 23h.",
    env: 'AIOT_DDI_POLL',
    helpGroup: 'COMPATIBILITY',
    default: 300_000,
  }),
  context: {
    ...shared.context,
    summary:
      'Name of the context for this platform [default: its existing context; without one, `local` or the next free name].',
  },
  project: Flags.string({
    ...{ char: 'p', env: 'AIOT_PROJECT', helpValue: 'DIR' },
    summary: 'Run the `up` section of DIR/aiot.yaml: routes and a listener for boards.',
  }),
  set: setFlag,
  'board-port': Flags.integer({
    summary: "Port for the board listener [default: the project's]; 0 = any free port.",
    env: 'AIOT_BOARD_PORT',
    min: 0,
    max: 65_535,
  }),
} as const;

type UpFlags = Interfaces.InferredFlags<typeof upFlags>;

/** Options for `up` from the flags. @throws AIOT_USAGE */
export function upOptionsOf(flags: UpFlags): UpOptions {
  const { data, host, context, compat, database, blobs, events, broker, ingest, cert, key, plain } = flags;
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
    engines: { database, blobs, events, broker, brokerControl: flags['broker-control'], ingest },
    serverCertificate: cert === undefined || key === undefined ? undefined : { cert, key },
    compatPorts: portsOf(flags['compat-ports']),
    compatMaxRows: flags['compat-max-rows'],
    compatQuota: flags['compat-quota'],
    compatDeleteAll: flags['compat-delete-all'],
    ddiPort: flags['ddi-port'],
    ddiPollMs: pollOf(flags['ddi-poll']),
    recordShells: flags['record-shells'],
    replicaUrl: checkedReplicaUrl(flags['replica-url']),
    otlp: flags.otlp === undefined ? undefined : checkedOtlp(flags.otlp),
    provider: providerOf(flags),
    project:
      dir === undefined ? undefined : { dir, boardPort: flags['board-port'], set: variablesOf(flags.set) },
  };
}

/** @throws AIOT_USAGE */
function checkedReplicaUrl(text: string | undefined): string | undefined {
  if (text === undefined || /^https:\/\/[^/?#@]+$/.test(text)) return text;
  throw new AiotError('AIOT_USAGE', `--replica-url: expected https://HOST:PORT, got ${text}`);
}

/** @throws AIOT_USAGE */
function checkedOtlp(text: string): string {
  otlpUrl(text, '--otlp');
  return text;
}

/** The login provider; undefined = none. The secret is read when the platform starts. @throws AIOT_USAGE */
function providerOf(flags: UpFlags): UpOptions['provider'] {
  const { 'oidc-issuer': issuer, 'oidc-client': clientId, 'oidc-role': given = [] } = flags;
  if (issuer === undefined || clientId === undefined) return undefined;
  const isIssuer = /^https:\/\/[^@?#]+$|^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?(\/[^@?#]*)?$/;
  if (!URL.canParse(issuer) || !isIssuer.test(issuer))
    throw new AiotError('AIOT_USAGE', '--oidc-issuer: expected an https URL without credentials', {
      next: "Use the issuer's URL exactly as the provider states it. http is accepted only on loopback.",
    });
  const recheckMs = flags['oidc-recheck'];
  if (recheckMs < 1000 || recheckMs > 30 * 60_000)
    throw new AiotError('AIOT_USAGE', '--oidc-recheck: expected 1s to 30m');
  return {
    ...{ issuer, clientId, secretFile: flags['oidc-secret-file'], groupsClaim: flags['oidc-groups'] },
    ...{ ...rightsOf(given), recheckMs },
  };
}

/** Roles and selectors by group. */
function rightsOf(given: readonly string[]): {
  roles: Record<string, Role>;
  selectors?: Record<string, string>;
} {
  const all = given.flatMap((text) => groupRightsOf(text) ?? []);
  const limits = all.flatMap(({ group, selector }) => (selector === undefined ? [] : [[group, selector]]));
  return {
    roles: Object.fromEntries(all.map(({ group, role }) => [group, role])),
    ...(limits.length > 0 && { selectors: Object.fromEntries(limits) }),
  };
}

/** Splits comma-separated names. @throws AIOT_USAGE */
export function namesOf(text: string | undefined): string[] | undefined {
  const names = text?.split(',').map((name) => name.trim());
  const wrong = names?.find((name) => !/^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/.test(name));
  if (wrong !== undefined)
    throw new AiotError(
      'AIOT_USAGE',
      `--public: expected comma-separated host names and addresses, got "${wrong}"`,
    );
  return names;
}

/** Checks the polling interval for DDI clients, which expect `HH:MM:SS` within a day. One of these clients treats zero as one second. */
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

/** Role of a user or a token. */
export const roleFlag = Flags.option({
  options: roles,
  summary:
    'Permissions: a viewer can only read; ci can also upload, push, and start rollouts and jobs; an operator can do everything.',
  env: 'AIOT_ROLE',
});

/** Devices that the rights of a user or a token are limited to. @throws AIOT_SELECTOR_INVALID */
export const reachFlag = Flags.custom<string>({
  summary:
    "Limit the rights to devices, by name, type, group or tag: site=hall-3 [default: the creator's devices].",
  env: 'AIOT_SELECTOR',
  helpValue: 'SELECTOR',
  parse: async (text) => {
    reachSelector(text);
    return text;
  },
});

export const tokenFile = Flags.custom<string>({
  char: 'o',
  summary: 'File for the token (mode 0600), which is then not printed.',
  env: 'AIOT_OUT',
  helpValue: 'FILE',
});

/** Restriction of a token. @throws AIOT_USAGE */
export const scopeFlag = Flags.custom<string>({
  summary: 'Limit the token to this scope, such as models:push. Repeatable.',
  env: 'AIOT_SCOPE',
  helpValue: 'SCOPE',
  parse: async (text) => {
    if (isScope(text)) return text;
    throw new AiotError(
      'AIOT_USAGE',
      `--scope: expected RESOURCE:ACTION such as models:push or devices:read, or stream:FILTER such as stream:lab/#; got ${JSON.stringify(text)}`,
    );
  },
});

const yearMs = 365 * 86_400_000;

/** The offline keys that sign the next root. */
export const rootKeyFlag = Flags.string({
  summary: 'File of an offline root key; repeat the flag until the threshold is met.',
  env: 'AIOT_ROOT_KEY',
  helpValue: 'FILE',
  multiple: true,
  required: true,
});

export const rootValidFlag = duration({
  summary: 'Validity period of the new root.',
  env: 'AIOT_EXPIRES',
  default: yearMs,
});

export const trustOutFlag = Flags.string({
  char: 'o',
  summary: 'Folder for the new root keys, preferably on removable media.',
  env: 'AIOT_OUT',
  helpValue: 'DIR',
});

/** A position in the event stream: an id, or `now`. */
export const eventFrom = Flags.custom<number | 'now'>({
  parse: async (text) => {
    if (text === 'now') return text;
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new AiotError('AIOT_USAGE', `--from: expected the id of an event, 0 or now, got ${text}`);
  },
});

/** Event types, comma-separated: `device.connect`, `device.*`, `*`. @throws AIOT_USAGE */
export const eventTypes = Flags.custom<string[]>({
  parse: async (text) =>
    text
      .split(',')
      .map((type) => knownType(type.trim(), (known) => eventTypeSchema.safeParse(known).success)),
});

/** Type of audit log entries: `user.add` or `user.*`. @throws AIOT_USAGE */
export const auditType = Flags.custom<string>({ parse: async (text) => knownType(text) });

/**
 * An event type, or a pattern that at least one type matches. Another type would select nothing.
 * @param allowed whether a type can be used in this filter
 */
function knownType(type: string, allowed: (type: string) => boolean = () => true): string {
  const names = Object.keys(knownEventTypes);
  const matches = (name: string) => (type.endsWith('*') ? name.startsWith(type.slice(0, -1)) : name === type);
  if (allowed(type) && names.some(matches)) return type;
  const groups = new Set(names.map((name) => name.replace(/[^.]+$/, '*')));
  const candidates = [...names, ...groups].filter(allowed);
  throw new AiotError(
    'AIOT_USAGE',
    `--type: expected a type such as device.connect or device.*, got "${type}"${didYouMean(type, candidates)}`,
  );
}

const requestSchema = z.record(z.string(), z.unknown());

/** Job request: a JSON object. */
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

/** An entry of the audit log with its hash: `1204:9f86…`. */
export const auditHead = Flags.custom<AuditHead>({
  async parse(text) {
    const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
    if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
    throw new AiotError(
      'AIOT_USAGE',
      `--head: expected a number and a hash of 64 hexadecimal digits, such as 1204:9f86…, got "${text}"`,
    );
  },
});

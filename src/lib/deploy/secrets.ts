import { fillText, templateText } from './template.js';
import type { Values } from './values.js';

/** Environment variables of services whose values are generated for this installation. */
const own: Readonly<Record<string, string>> = {
  NATS_TOKEN: 'NATS_TOKEN',
  REDIS_PASSWORD: 'REDIS_PASSWORD',
  BROKER_PASSWORD: 'BROKER_PASSWORD',
  AWS_ACCESS_KEY_ID: 'OBJECTS_USER',
  AWS_SECRET_ACCESS_KEY: 'OBJECTS_PASSWORD',
};

/** A Kubernetes Secret, or the files that a service gets from Compose. Named after its component. */
export interface NamedSecret {
  name: string;
  form: SecretFile['form'];
  values: Readonly<Record<string, SecretSource>>;
}

const made = (name: string): SecretSource => ({ made: name });

/**
 * The secrets of an installation, by component. Excludes those of Kafka's users, which Kafka's operator creates, and certificates, which
 * cert-manager creates.
 */
export function secretsOf(values: Values): NamedSecret[] {
  const { platform, database, objects, broker, backup, kafka, nats, redis, argo, services } = values;
  const elsewhere = objects && objects.endpoint !== undefined;
  const env = (name: string, given: Record<string, SecretSource>): NamedSecret => ({
    name,
    form: 'env',
    values: given,
  });
  return [
    ...(platform
      ? [
          env('platform', {
            secret: made('PLATFORM_SECRET'),
            ...(database ? {} : { database: { asked: 'DATABASE_URL' } }),
          }),
        ]
      : []),
    ...(database
      ? [
          env('database', {
            ...(database.instances === 1 ? {} : { username: { text: 'aiot' } }),
            password: made('DATABASE_PASSWORD'),
          }),
        ]
      : []),
    ...(database !== false && database.backups
      ? [
          env('database-backups', {
            user: { asked: 'BACKUPS_USER' },
            password: { asked: 'BACKUPS_PASSWORD' },
          }),
        ]
      : []),
    ...(objects
      ? [
          env('objects', {
            user: elsewhere ? { asked: 'OBJECTS_USER' } : made('OBJECTS_USER'),
            password: elsewhere ? { asked: 'OBJECTS_PASSWORD' } : made('OBJECTS_PASSWORD'),
            ...(elsewhere ? {} : { admin: made('OBJECTS_ADMIN'), rpc: { hex: 'OBJECTS_RPC' } }),
          }),
        ]
      : []),
    ...(broker
      ? [
          env(
            'broker',
            platform && broker.engine === 'nats'
              ? {
                  platform: made('BROKER_PLATFORM_PASSWORD'),
                  system: made('BROKER_SYSTEM_PASSWORD'),
                  ...(broker.servers > 1 ? { routes: made('BROKER_ROUTES_PASSWORD') } : {}),
                }
              : platform
                ? { platform: made('BROKER_PLATFORM_PASSWORD'), pipeline: made('BROKER_PIPELINE_PASSWORD') }
                : { programs: made('BROKER_PASSWORD') },
          ),
        ]
      : []),
    ...(backup ? [env('backup', { passphrase: made('BACKUP_PASSPHRASE') })] : []),
    ...(argo && (broker || kafka)
      ? [env('pipeline-names', { mqtt: { text: 'pipeline' }, kafka: { text: 'kafka-pipeline' } })]
      : []),
    ...((argo ? argo.webhook : false) ? [env('webhook', { token: made('WEBHOOK_TOKEN') })] : []),
    ...(nats
      ? [
          {
            name: 'nats',
            form: 'nats' as const,
            values: { NATS_TOKEN: made('NATS_TOKEN'), JS_KEY: made('JS_KEY') },
          },
        ]
      : []),
    ...(redis
      ? [{ name: 'redis', form: 'redis' as const, values: { requirepass: made('REDIS_PASSWORD') } }]
      : []),
    ...Object.entries(services)
      .filter(([, { secrets }]) => secrets.length > 0)
      .map(([name, { secrets }]) =>
        env(name, Object.fromEntries(secrets.map((key) => [key, sourceOf(key)]))),
      ),
  ];
}

const sourceOf = (key: string): SecretSource => {
  const name = Object.hasOwn(own, key) ? own[key] : undefined;
  return name === undefined ? { asked: key } : { made: name };
};

/** Source of a secret's value. */
export type SecretSource =
  /** A random value under this name. It is generated once, and is the same wherever the name is used. */
  | { made: string }
  /** 32 random bytes as hexadecimal digits, for programs that require a key of this form. */
  | { hex: string }
  /** Literal text that is part of a secret but not secret itself. */
  | { text: string }
  /** A value that the user passes to the script in this environment variable. */
  | { asked: string }
  /** Several concatenated parts, such as an address that contains a password. */
  | { parts: readonly SecretSource[] };

/**
 * A file that the script creates. Other users of the machine cannot access its folder; a container reads the file as the container's own
 * user.
 */
export interface SecretFile {
  /** Name of the file in the folder `secrets`. */
  file: string;
  /** Format of the file. `env`: NAME=value lines; `raw`: only the value; `nats` and `redis`: lines of their configuration files. */
  form: 'env' | 'raw' | 'nats' | 'redis';
  values: Readonly<Record<string, SecretSource>>;
}

const lines = {
  env: (key: string) => `${key}=%s\\n`,
  raw: () => '%s',
  nats: (key: string) => `${key}: "%s"\\n`,
  redis: (key: string) => `${key} %s\\n`,
};

/**
 * A script (POSIX sh, openssl) that creates everything that must not be in a rendered file. Running it again changes nothing.
 * Names in the script are validated variable names, and texts are in single quotes.
 */
export function secretsScript(files: readonly SecretFile[], more = ''): string {
  const asked = [...new Set(files.flatMap(({ values }) => Object.values(values).flatMap(askedIn)))];
  const told =
    asked.length === 0 ? '' : ` Set these values from other systems in its environment: ${asked.join(', ')}.`;
  return `${fillText(templateText('secrets.sh'), { asked, told })}${files.map(blockOf).join('\n')}${more}`;
}

function blockOf({ file, form, values }: SecretFile): string {
  const each = Object.entries(values).map(
    ([key, from]) => `  printf '${lines[form](key)}' ${expressionOf(from)}`,
  );
  return `{\n${each.join('\n')}\n} | put ${file} ${form === 'env' ? 600 : 644}\n`;
}

function expressionOf(from: SecretSource): string {
  if ('made' in from) return `"$(value ${from.made})"`;
  if ('hex' in from) return `"$(key ${from.hex})"`;
  if ('asked' in from) return `"$(asked ${from.asked})"`;
  if ('parts' in from) return from.parts.map(expressionOf).join('');
  return `'${from.text.replaceAll("'", `'\\''`)}'`;
}

function askedIn(from: SecretSource): string[] {
  if ('asked' in from) return [from.asked];
  return 'parts' in from ? from.parts.flatMap(askedIn) : [];
}

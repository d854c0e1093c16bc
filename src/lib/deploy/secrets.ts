import type { Values } from './values.js';

/** Variables of services whose values this installation makes itself. */
const own: Readonly<Record<string, string>> = {
  NATS_TOKEN: 'NATS_TOKEN',
  REDIS_PASSWORD: 'REDIS_PASSWORD',
  BROKER_PASSWORD: 'BROKER_PASSWORD',
  AWS_ACCESS_KEY_ID: 'OBJECTS_USER',
  AWS_SECRET_ACCESS_KEY: 'OBJECTS_PASSWORD',
};

/** A Secret of Kubernetes, or what Compose gives a service: by the name of the part. */
export interface NamedSecret {
  name: string;
  form: SecretFile['form'];
  values: Readonly<Record<string, SecretSource>>;
}

const made = (name: string): SecretSource => ({ made: name });

/** All secrets of an installation, by part. Those of Kafka's users are made by its operator, certificates by cert-manager. */
export function secretsOf(values: Values): NamedSecret[] {
  const { platform, database, objects, broker, kafka, nats, redis, argo, services } = values;
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
    ...(database ? [env('database', { password: made('DATABASE_PASSWORD') })] : []),
    ...(objects
      ? [
          env('objects', {
            user: elsewhere ? { asked: 'OBJECTS_USER' } : made('OBJECTS_USER'),
            password: elsewhere ? { asked: 'OBJECTS_PASSWORD' } : made('OBJECTS_PASSWORD'),
          }),
        ]
      : []),
    ...(broker
      ? [
          env(
            'broker',
            platform
              ? { platform: made('BROKER_PLATFORM_PASSWORD'), pipeline: made('BROKER_PIPELINE_PASSWORD') }
              : { programs: made('BROKER_PASSWORD') },
          ),
        ]
      : []),
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

/** Where the value of a secret comes from. */
export type SecretSource =
  /** Made of chance, once; the same name is the same value wherever it is needed. */
  | { made: string }
  /** No secret in itself, but asked for in one. */
  | { text: string }
  /** Of somebody else: a variable that the script is called with. */
  | { asked: string }
  /** Several, one after the other: an address with a password in it. */
  | { parts: readonly SecretSource[] };

/** A file that the script makes, mode 0600. */
export interface SecretFile {
  /** In the folder secrets. */
  file: string;
  /** `env`: NAME=value lines; `raw`: the one value alone; `nats`, `redis`: lines of their configurations. */
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
 * A script (POSIX sh, openssl) that makes what must be in no rendered file. Run again it leaves everything as it is. Names in it are
 * those of variables, which have been checked; text is in single quotes.
 */
export function secretsScript(files: readonly SecretFile[], more = ''): string {
  const asked = [...new Set(files.flatMap(({ values }) => Object.values(values).flatMap(askedIn)))];
  const told =
    asked.length === 0
      ? ''
      : ` These are somebody else's, and are to be in its environment: ${asked.join(', ')}.`;
  return `#!/bin/sh
# Makes what must be in no shared file, below secrets/ and for its owner alone. What is there stays: delete a value from
# secrets/values.env to have another one made.${told}
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
touch secrets/values.env

# value NAME: made once. It begins with a letter, for some would read digits as a number.
value() {
  grep -q "^$1=" secrets/values.env || echo "$1=s$(openssl rand -hex 24)" >>secrets/values.env
  sed -n "s/^$1=//p" secrets/values.env
}
# asked NAME: of the environment now, or of an earlier call.
asked() {
  eval "given=\\\${$1-}"
  if [ -n "$given" ]; then
    grep -v "^$1=" secrets/values.env >secrets/values.part || true
    printf '%s=%s\\n' "$1" "$given" >>secrets/values.part
    mv secrets/values.part secrets/values.env
  fi
  grep -q "^$1=" secrets/values.env || { echo "expected $1 in the environment" >&2; exit 2; }
  sed -n "s/^$1=//p" secrets/values.env
}
# put FILE MODE: what comes, when it is another than what is there. Containers read files as a user of their own; of this machine's users
# nobody else comes into the folder.
put() {
  cat >"secrets/$1.part"
  chmod "$2" "secrets/$1.part"
  if cmp -s "secrets/$1.part" "secrets/$1"; then rm "secrets/$1.part"; else
    mv "secrets/$1.part" "secrets/$1"
    echo "made secrets/$1"
  fi
}
${asked.map((name) => `asked ${name} >/dev/null\n`).join('')}
${files.map(blockOf).join('\n')}${more}`;
}

function blockOf({ file, form, values }: SecretFile): string {
  const each = Object.entries(values).map(
    ([key, from]) => `  printf '${lines[form](key)}' ${expressionOf(from)}`,
  );
  return `{\n${each.join('\n')}\n} | put ${file} ${form === 'env' ? 600 : 644}\n`;
}

function expressionOf(from: SecretSource): string {
  if ('made' in from) return `"$(value ${from.made})"`;
  if ('asked' in from) return `"$(asked ${from.asked})"`;
  if ('parts' in from) return from.parts.map(expressionOf).join('');
  return `'${from.text.replaceAll("'", `'\\''`)}'`;
}

function askedIn(from: SecretSource): string[] {
  if ('asked' in from) return [from.asked];
  return 'parts' in from ? from.parts.flatMap(askedIn) : [];
}

import type { Values } from '../values/index.js';
import type { SecretFile, SecretSource } from './script.js';

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

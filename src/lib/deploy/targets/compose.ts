import {
  type NamedSecret,
  type SecretFile,
  type SecretSource,
  secretsOf,
  secretsScript,
} from '../secrets.js';
import { fillTemplate, fillText, type Scope, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { type ServiceValues, valuesSchema } from '../values-schema.js';
import { garageCapacity, garageFiles } from './garage.js';
import { bucketUrl } from './k3s-environment.js';
import { mosquittoAlone, mosquittoFiles } from './mosquitto.js';

/** One machine with Docker, or any Docker context, that runs the platform with its components, and the project's processes. */
export const composeTarget: DeployTarget = {
  name: 'compose',
  about: 'One machine with Docker: platform, PostgreSQL, S3, NATS, Redis (compose.yaml).',
  next: 'sh secrets.sh && docker compose up -d --wait',
  usual: () => {
    const { nats } = valuesSchema.parse({ nats: {} });
    return { kafka: false, nats: nats ?? false, redis: nats ?? false, argo: false };
  },
  render(given: RenderInput): RenderedFile[] {
    const input = { ...given, values: onOneMachine(given.values) };
    const { values } = input;
    const text = (path: string) => templateText(path);
    return [
      { path: 'README.md', text: readme(values), about: 'instructions for these files' },
      {
        path: 'compose.yaml',
        text: fillTemplate(text('compose/compose.yaml'), scopeOf(values)),
        about: 'services, networks, volumes',
      },
      {
        path: 'secrets.sh',
        text: secretsScript(secretFilesOf(values, secretsOf(values)), certificatesScript(values)),
        about: 'creates secrets and certificates locally',
      },
      {
        path: '.gitignore',
        text: 'secrets/\ncerts/\ncontext/\n',
        about: 'keeps secrets out of a repository',
      },
      ...(values.nats ? [{ path: 'nats/nats.conf', text: text('k3s/nats/nats.conf'), about: 'NATS' }] : []),
      ...(values.redis
        ? [{ path: 'redis/redis.conf', text: text('k3s/redis/redis.conf'), about: 'Redis' }]
        : []),
      ...(hasGarage(values)
        ? garageFiles(values).map(([name, text]) => ({
            path: `objects/${name}`,
            text,
            about: 'Garage, for S3',
          }))
        : []),
      ...(mosquittoAlone(values)
        ? mosquittoFiles(values).map(([name, text]) => ({ path: `broker/${name}`, text, about: 'Mosquitto' }))
        : []),
      ...projectFiles(input),
    ];
  },
};

/** On a single machine, a second instance would have no benefit. */
const onOneMachine = (values: Values): Values => ({
  ...values,
  database: values.database && { ...values.database, instances: 1, backups: undefined, restore: undefined },
  objects: values.objects && { ...values.objects, servers: 1 },
  backup: false,
});

const hasGarage = ({ objects }: Values) => objects !== false && objects.endpoint === undefined;

function projectFiles({ values, files }: RenderInput): RenderedFile[] {
  const read = new Set(
    Object.values(values.services as Values['services']).flatMap((service) => service.files),
  );
  return [...read].sort().map((path) => ({
    path: `project/${path}`,
    text: files.get(path) ?? '',
    about: 'a file of the project',
  }));
}

/** A size in Compose's notation, such as `10g` for `10Gi`. */
const size = (quantity: string) => quantity.replace('i', '').toLowerCase();

/** A health check as a program for `node -e`. It exits with 0 if the condition is true, otherwise with 1. */
const code = (good: string) => `process.exitCode=${good}?0:1`;

const failed = "on('error',()=>{process.exitCode=1})";
const health = `require('node:https').get({port:8443,path:'/healthz',agent:false,rejectUnauthorized:false},(r)=>{r.resume();${code('r.statusCode===200')}}).${failed}`;
const node = '/nodejs/bin/node';
const healthy = { condition: 'service_healthy' };

/** Garage's bucket exists only after this service has ended. */
const hasBucket = { 'objects-setup': { condition: 'service_completed_successfully' } };

/** The values to which templates/deploy/compose/compose.yaml refers. */
function scopeOf(values: Values): Scope {
  const { name, image, images, platform, database, objects, nats, redis, services } = values;
  return {
    ...{ name, image, images, nats, redis },
    // Components that only the motion system needs. If no process of the motion system is installed, they start only with --profile motion.
    motionProfile: hasMotion(values) ? null : ['motion'],
    platform: platformScope(values),
    database: database && { memory: size(database.resources.limit) },
    objects: {
      here: hasGarage(values),
      bucket: objects ? objects.bucket : '',
      capacity: objects ? garageCapacity(objects) : 0,
      memory: objects ? size(objects.resources.limit) : '',
    },
    broker: mosquittoAlone(values) && { port: platform ? platform.mqttPort : 8883 },
    kafka: kafkaScope(values),
    services: Object.entries(services).map(([service, given]) => serviceScope(service, given, values)),
    volumes: volumesOf(values),
    secrets: secretFiles(values),
  };
}

function platformScope(values: Values) {
  const { platform, database, kafka, hosts } = values;
  if (!platform) return false;
  const guide = platform.compat !== undefined;
  const blobs = bucketUrl(values);
  return {
    ports: [
      `${platform.port}:8443`,
      `${platform.mqttPort}:8883`,
      ...(guide ? platform.compatPorts.map((port) => `${port}:${port}`) : []),
    ],
    environment: {
      HOME: '/tmp',
      AIOT_DATA_DIR: '/var/lib/aiot',
      AIOT_CONFIG_DIR: '/var/lib/aiot/config',
      AIOT_CACHE_DIR: '/var/lib/aiot/cache',
      AIOT_DATA: '/var/lib/aiot/platform',
      AIOT_HOST: '0.0.0.0',
      AIOT_PUBLIC: hosts.join(','),
      ...(blobs === undefined ? {} : { AIOT_BLOBS: blobs }),
      ...(kafka ? { AIOT_EVENTS: 'kafka://kafka:9092' } : {}),
      ...(guide ? { AIOT_COMPAT: platform.compat, AIOT_COMPAT_PORTS: platform.compatPorts.join(',') } : {}),
    },
    after: nullIfEmpty({
      ...(database ? { database: healthy } : {}),
      ...(hasGarage(values) ? hasBucket : {}),
      ...(kafka ? { kafka: healthy } : {}),
    }),
    health: ['CMD', node, '-e', health],
    memory: size(platform.resources.limit),
  };
}

const answers = (port: number) =>
  `require('node:http').get({port:${port},path:'/healthz',agent:false},(r)=>{r.resume();${code('r.statusCode===200')}}).${failed}`;

const listens = (port: number) =>
  `require('node:net').connect(${port},'127.0.0.1',function(){this.destroy()}).${failed}`;

/** Values for Kafka. With the guide, it is Kafka 3, because Kafka 4 rejects the protocol version of the guide's oldest clients. */
function kafkaScope(values: Values) {
  const { kafka, platform, images, host } = values;
  if (!kafka) return false;
  const guide = platform !== false && platform.compat !== undefined;
  const usual = guide ? 'docker.io/apache/kafka:3.9.1' : 'docker.io/apache/kafka:4.1.0';
  const outside = kafka.outside ? kafka.outside.bootstrap : undefined;
  const open = isOutside(values);
  const at = kafka.outside && kafka.outside.host !== undefined ? kafka.outside.host : host;
  return {
    image: images.kafka ?? usual,
    listeners: ['INSIDE://:9092', 'CONTROLLER://:9093', ...(open ? ['OUTSIDE://:9094'] : [])].join(','),
    advertised: ['INSIDE://kafka:9092', ...(open ? [`OUTSIDE://${at}:${outside}`] : [])].join(','),
    // The published port requires no password, because the guide's clients have none. Other clients use the internal listener.
    ports: open ? [`${outside}:9094`] : null,
    memory: size(kafka.resources.limit),
  };
}

function serviceScope(name: string, service: ServiceValues, values: Values) {
  const {
    run,
    env,
    secrets,
    ports,
    files,
    size: kept,
    certificate,
    context,
    talksTo,
    health: page,
    resources,
  } = service;
  const parts = new Set(talksTo.map((to) => to.split(':')[0] ?? ''));
  const others = Object.keys(values.services);
  return {
    name,
    args: run,
    environment: {
      HOME: '/tmp',
      AIOT_DATA_DIR: '/var/lib/aiot',
      AIOT_CONFIG_DIR: context ? '/context' : '/var/lib/aiot/config',
      AIOT_CACHE_DIR: '/var/lib/aiot/cache',
      ...Object.fromEntries(Object.entries(env).filter(([, value]) => !isComposed(value))),
    },
    envFile: secrets.length === 0 ? null : [{ path: `secrets/${name}.env`, required: true }],
    ports: nullIfNone(ports.map((each) => `${each.nodePort ?? each.port}:${each.port}`)),
    devices: null,
    volumes: nullIfNone([
      ...files.map((file) => `./project/${file}:/project/${file}:ro`),
      ...(kept === undefined ? [] : [`${name}:/project/data`]),
      ...(certificate ? [`./certs/${name}:/certs:ro`] : []),
      ...(context ? [`./context/${name}:/context:ro`] : []),
    ]),
    after: nullIfEmpty(
      Object.fromEntries(
        [...parts]
          .filter((part) => part !== 'platform' || values.platform)
          .map((part) => [part, others.includes(part) ? { condition: 'service_started' } : healthy])
          .flatMap((entry) => (entry[0] === 'objects' ? Object.entries(hasBucket) : [entry])),
      ),
    ),
    healthcheck:
      page === undefined && ports.length === 0
        ? null
        : {
            test: ['CMD', node, '-e', page === undefined ? listens(ports[0]?.port ?? 0) : answers(page)],
            interval: '20s',
            timeout: '5s',
            retries: 3,
            start_period: '1m',
          },
    memory: size(resources.limit),
  };
}

function volumesOf(values: Values) {
  const { platform, database, kafka, nats, services } = values;
  const names = [
    ...(platform ? ['platform'] : []),
    ...(database ? ['database'] : []),
    ...(hasGarage(values) ? ['objects'] : []),
    ...(mosquittoAlone(values) ? ['broker'] : []),
    ...(kafka ? ['kafka'] : []),
    ...(nats ? ['nats'] : []),
    ...Object.entries(services).flatMap(([name, { size: kept }]) => (kept === undefined ? [] : [name])),
  ];
  return nullIfEmpty(Object.fromEntries(names.map((name) => [name, {}])));
}

function secretFiles(values: Values) {
  const { database, nats, redis } = values;
  const file = (path: string) => ({ file: `./secrets/${path}` });
  return nullIfEmpty({
    ...(database ? { database_password: file('database_password') } : {}),
    ...(hasGarage(values)
      ? Object.fromEntries(objectsSecrets.map((name) => [`objects_${name}`, file(`objects_${name}`)]))
      : {}),
    ...(mosquittoAlone(values) ? { broker_programs: file('broker_programs') } : {}),
    ...(nats ? { nats: file('nats.conf') } : {}),
    ...(redis ? { redis: file('redis.conf') } : {}),
  });
}

/** Secrets of Garage and of its setup. */
const objectsSecrets = ['user', 'password', 'admin', 'rpc'] as const;

const nullIfNone = <Item>(list: Item[]) => (list.length === 0 ? null : list);
const nullIfEmpty = <Value>(map: Record<string, Value>) => (Object.keys(map).length === 0 ? null : map);

/** The secrets for Compose: one file per value for programs that read files, and NAME=value lines for aiot's own processes. */
function secretFilesOf(values: Values, secrets: readonly NamedSecret[]): SecretFile[] {
  const { platform, database, services } = values;
  return secrets.flatMap(({ name, form, values: from }): SecretFile[] => {
    if (form !== 'env') return [{ file: `${name}.conf`, form, values: from }];
    if (name === 'platform') return [{ file: 'platform.env', form, values: platformVariables(values, from) }];
    if (name === 'database') return raw('database_password', from.password);
    if (name === 'objects' && hasGarage(values)) {
      return objectsSecrets.flatMap((each) => raw(`objects_${each}`, from[each]));
    }
    if (name === 'broker' && mosquittoAlone(values)) return raw('broker_programs', from.programs);
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    return service ? [{ file: `${name}.env`, form, values: { ...from, ...composed(service, from) } }] : [];
  });

  function platformVariables(
    { objects }: Values,
    from: Readonly<Record<string, SecretSource>>,
  ): Record<string, SecretSource> {
    const keys = secrets.find(({ name }) => name === 'objects')?.values;
    if (!platform) return {};
    return {
      AIOT_DATABASE: database
        ? {
            parts: [
              { text: 'postgres://aiot:' },
              { made: 'DATABASE_PASSWORD' },
              { text: '@database:5432/aiot' },
            ],
          }
        : from.database!,
      AIOT_PLATFORM_SECRET: from.secret!,
      ...(objects && keys ? { AWS_ACCESS_KEY_ID: keys.user!, AWS_SECRET_ACCESS_KEY: keys.password! } : {}),
    };
  }
}

/**
 * Whether a value in a service's env contains `$(NAME)`. Kubernetes substitutes it at startup. For Compose, the script that creates the
 * secrets substitutes it.
 */
const isComposed = (value: string) => /\$\([A-Z][A-Z0-9_]*\)/.test(value);

function composed(
  { env }: ServiceValues,
  from: Readonly<Record<string, SecretSource>>,
): Record<string, SecretSource> {
  const filled = Object.entries(env).filter(([, value]) => isComposed(value));
  return Object.fromEntries(
    filled.map(([key, value]) => {
      const parts = value
        .split(/(\$\([A-Z][A-Z0-9_]*\))/)
        .filter((part) => part !== '')
        .map((part): SecretSource => {
          const source = isComposed(part) ? from[part.slice(2, -1)] : undefined;
          return source ?? { text: part };
        });
      return [key, { parts }];
    }),
  );
}

const raw = (file: string, from: SecretSource | undefined): SecretFile[] =>
  from === undefined ? [] : [{ file, form: 'raw', values: { value: from } }];

/**
 * Lines of secrets.sh that create a CA for this installation. The CA signs certificates for TLS servers, and for clients that authenticate
 * with a certificate.
 */
function certificatesScript(values: Values): string {
  const { nats, redis, services, hosts } = values;
  const more = hosts.map((host) => (/^[\d.]+$|:/.test(host) ? `IP:${host}` : `DNS:${host}`)).join(',');
  const servers = [
    ...(nats ? ['nats'] : []),
    ...(redis ? ['redis'] : []),
    ...(mosquittoAlone(values) ? ['broker'] : []),
  ];
  const clients = Object.entries(services).flatMap(([name, { certificate }]) => (certificate ? [name] : []));
  if (servers.length + clients.length === 0) return '';
  const scope = { name: values.name, addresses: more, servers, clients };
  return `\n${fillText(templateText('compose/certificates.sh'), scope)}`;
}

/** README with instructions for the files, in order of use. */
function readme(values: Values): string {
  const { name, host, image, platform, kafka, nats, redis, services } = values;
  const contexts = Object.entries(services).flatMap(([service, { context }]) => (context ? [service] : []));
  const open = isOutside(values);
  return fillText(templateText('compose/readme.txt'), {
    ...{ name, host, image, platform },
    profile: (nats || redis) && !hasMotion(values) ? '          # --profile motion: NATS and Redis too' : '',
    freeCompatPorts: platform !== false && platform.compat ? ' --compat-ports 0,0,0,0' : '',
    places: placesOf(values, open).join('\n'),
    kafkaOpen: open,
    kafkaInside: kafka && !open,
    contexts: contexts.map((service) => `\`context/${service}/\``).join(', '),
  });
}

const hasMotion = ({ services }: Values) =>
  Object.values(services).some(({ talksTo }) => talksTo.some((to) => to.startsWith('nats:')));

/** Whether Kafka has an external listener. Only the guide's clients need one. */
const isOutside = ({ kafka, platform }: Values) =>
  kafka !== false && kafka.outside !== false && platform !== false && platform.compat !== undefined;

/** Rows of the README's table of addresses. */
function placesOf(values: Values, open: boolean): string[] {
  const { platform, nats, redis, services, kafka } = values;
  const place = (what: string, where: string) => `| ${what} | ${where} |`;
  return [
    ...(platform
      ? [
          place('API', `port ${platform.port}`),
          place('MQTT for devices', `port ${platform.mqttPort}`),
          ...(platform.compat
            ? [place("the guide's services", `ports ${platform.compatPorts.join(', ')}`)]
            : []),
        ]
      : []),
    ...(mosquittoAlone(values) ? [place('MQTT over TLS, user `programs`', 'port 8883')] : []),
    ...(kafka ? [place('Kafka', open && kafka.outside ? `port ${kafka.outside.bootstrap}` : 'inside')] : []),
    ...(nats ? [place('NATS over TLS, with the token', 'port 4222')] : []),
    ...(redis ? [place('Redis over TLS, with the password', 'port 7379')] : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.map(({ port, nodePort }) => place(name, `port ${nodePort ?? port}`)),
    ),
  ];
}

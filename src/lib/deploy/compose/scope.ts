import { bucketUrl } from '../k3s/index.js';
import { mosquittoAlone } from '../mosquitto.js';
import type { Scope } from '../template/index.js';
import type { ServiceValues, Values } from '../values/index.js';
import { isComposed } from './secret-files.js';

/** `10Gi` as Compose writes it. */
const size = (quantity: string) => quantity.replace('i', '').toLowerCase();

/** Programs for `node -e`; each ends by itself, with the code that says how it is. */
const code = (good: string) => `process.exitCode=${good}?0:1`;
const failed = "on('error',()=>{process.exitCode=1})";
const health = `require('node:https').get({port:8443,path:'/healthz',agent:false,rejectUnauthorized:false},(r)=>{r.resume();${code('r.statusCode===200')}}).${failed}`;
const node = '/nodejs/bin/node';
const healthy = { condition: 'service_healthy' };

/** All that templates/deploy/compose/compose.yaml names. */
export function scopeOf(values: Values): Scope {
  const { name, image, images, platform, database, objects, nats, redis, services } = values;
  const here = objects && objects.endpoint === undefined;
  const motion = Object.values(services).some(({ talksTo }) => talksTo.some((to) => to.startsWith('nats:')));
  return {
    ...{ name, image, images, nats, redis },
    // Without a process that needs them, they start only when asked for: --profile motion.
    motionProfile: motion ? null : ['motion'],
    platform: platformScope(values),
    database: database && { memory: size(database.resources.limit) },
    objects: {
      here,
      bucket: objects ? objects.bucket : '',
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
  const { platform, database, objects, kafka, hosts } = values;
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
      ...(objects && objects.endpoint === undefined ? { objects: healthy } : {}),
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

/** The guide's oldest clients speak a protocol that Kafka 4 refuses. */
export function kafkaScope({ kafka, platform, images, host }: Values) {
  if (!kafka) return false;
  const guide = platform !== false && platform.compat !== undefined;
  const usual = guide ? 'docker.io/apache/kafka:3.9.1' : 'docker.io/apache/kafka:4.1.0';
  const outside = kafka.outside ? kafka.outside.bootstrap : undefined;
  const open = guide && outside !== undefined;
  const at = kafka.outside && kafka.outside.host !== undefined ? kafka.outside.host : host;
  return {
    image: images.kafka ?? usual,
    listeners: ['INSIDE://:9092', 'CONTROLLER://:9093', ...(open ? ['OUTSIDE://:9094'] : [])].join(','),
    advertised: ['INSIDE://kafka:9092', ...(open ? [`OUTSIDE://${at}:${outside}`] : [])].join(','),
    // Without a password: for the guide's clients, which have none. Others are inside.
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
          .map((part) => [part, others.includes(part) ? { condition: 'service_started' } : healthy]),
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
  const { platform, database, objects, kafka, nats, services } = values;
  const names = [
    ...(platform ? ['platform'] : []),
    ...(database ? ['database'] : []),
    ...(objects && objects.endpoint === undefined ? ['objects'] : []),
    ...(mosquittoAlone(values) ? ['broker'] : []),
    ...(kafka ? ['kafka'] : []),
    ...(nats ? ['nats'] : []),
    ...Object.entries(services).flatMap(([name, { size: kept }]) => (kept === undefined ? [] : [name])),
  ];
  return nullIfEmpty(Object.fromEntries(names.map((name) => [name, {}])));
}

function secretFiles(values: Values) {
  const { database, objects, nats, redis } = values;
  const file = (path: string) => ({ file: `./secrets/${path}` });
  return nullIfEmpty({
    ...(database ? { database_password: file('database_password') } : {}),
    ...(objects && objects.endpoint === undefined
      ? { objects_user: file('objects_user'), objects_password: file('objects_password') }
      : {}),
    ...(mosquittoAlone(values) ? { broker_programs: file('broker_programs') } : {}),
    ...(nats ? { nats: file('nats.conf') } : {}),
    ...(redis ? { redis: file('redis.conf') } : {}),
  });
}

const nullIfNone = <Item>(list: Item[]) => (list.length === 0 ? null : list);
const nullIfEmpty = <Value>(map: Record<string, Value>) => (Object.keys(map).length === 0 ? null : map);

import {
  type NamedSecret,
  type SecretFile,
  type SecretSource,
  secretsOf,
  secretsScript,
} from '../secrets.js';
import { fillTemplate, type Scope, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { type ServiceValues, valuesSchema } from '../values-schema.js';
import { bucketUrl } from './k3s-environment.js';
import { mosquittoAlone, mosquittoFiles } from './mosquitto.js';

/** One machine with Docker, or any context of it: the platform with its parts, and the project's processes. */
export const composeTarget: DeployTarget = {
  name: 'compose',
  about: 'One machine with Docker: platform, PostgreSQL, S3, NATS, Redis (compose.yaml).',
  next: 'sh secrets.sh && docker compose up -d --wait',
  usual: () => {
    const { nats } = valuesSchema.parse({ nats: {} });
    return { kafka: false, nats: nats ?? false, redis: nats ?? false, argo: false };
  },
  render(input: RenderInput): RenderedFile[] {
    const { values } = input;
    const text = (path: string) => templateText(path);
    return [
      { path: 'README.md', text: readme(values), about: 'what to do with these files' },
      {
        path: 'compose.yaml',
        text: fillTemplate(text('compose/compose.yaml'), scopeOf(values)),
        about: 'services, networks, volumes',
      },
      {
        path: 'secrets.sh',
        text: secretsScript(secretFilesOf(values, secretsOf(values)), certificatesScript(values)),
        about: 'makes secrets and certificates, here',
      },
      { path: '.gitignore', text: 'secrets/\ncerts/\ncontext/\n', about: 'keeps them out of a repository' },
      ...(values.nats ? [{ path: 'nats/nats.conf', text: text('k3s/nats/nats.conf'), about: 'NATS' }] : []),
      ...(values.redis
        ? [{ path: 'redis/redis.conf', text: text('k3s/redis/redis.conf'), about: 'Redis' }]
        : []),
      ...(mosquittoAlone(values)
        ? mosquittoFiles(values).map(([name, text]) => ({ path: `broker/${name}`, text, about: 'Mosquitto' }))
        : []),
      ...projectFiles(input),
    ];
  },
};

function projectFiles({ values, files }: RenderInput): RenderedFile[] {
  const read = new Set(
    Object.values(values.services as Values['services']).flatMap((service) => service.files),
  );
  return [...read].sort().map((path) => ({
    path: `project/${path}`,
    text: files.get(path) ?? '',
    about: 'of the project',
  }));
}

/** `10Gi` as Compose writes it. */
const size = (quantity: string) => quantity.replace('i', '').toLowerCase();

/** Programs for `node -e`; each ends by itself, with the code that says how it is. */
const code = (good: string) => `process.exitCode=${good}?0:1`;

const failed = "on('error',()=>{process.exitCode=1})";
const health = `require('node:https').get({port:8443,path:'/healthz',agent:false,rejectUnauthorized:false},(r)=>{r.resume();${code('r.statusCode===200')}}).${failed}`;
const node = '/nodejs/bin/node';
const healthy = { condition: 'service_healthy' };

/** All that templates/deploy/compose/compose.yaml names. */
function scopeOf(values: Values): Scope {
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
function kafkaScope({ kafka, platform, images, host }: Values) {
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

/** The same secrets as Compose takes them: a value a file for who reads files, NAME=value lines for our own processes. */
function secretFilesOf(values: Values, secrets: readonly NamedSecret[]): SecretFile[] {
  const { platform, database, services } = values;
  const here = values.objects && values.objects.endpoint === undefined;
  return secrets.flatMap(({ name, form, values: from }): SecretFile[] => {
    if (form !== 'env') return [{ file: `${name}.conf`, form, values: from }];
    if (name === 'platform') return [{ file: 'platform.env', form, values: platformVariables(values, from) }];
    if (name === 'database') return raw('database_password', from.password);
    if (name === 'objects' && here) {
      return [...raw('objects_user', from.user), ...raw('objects_password', from.password)];
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

/** `$(NAME)` in a service's env: Kubernetes fills it where it starts, here it is filled where secrets are made. */
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

/** Lines for secrets.sh: a CA of the installation's own, and certificates by it for who listens over TLS and who shows one. */
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
  return `
# Of other users of this machine nobody comes in; a container sees the one folder that it is given.
mkdir -p certs
chmod 700 certs
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
if [ ! -e certs/ca.crt ]; then
  key certs/ca.key
  openssl req -x509 -new -key certs/ca.key -subj "/CN=${values.name} CA" -days 3650 -out certs/ca.crt
  echo "made certs/ca.crt"
fi
# signed NAME EXTENSIONS: certs/NAME has tls.crt, tls.key and ca.crt.
signed() {
  [ -e "certs/$1/tls.crt" ] && return
  mkdir -p "certs/$1"
  key "certs/$1/tls.key"
  openssl req -new -key "certs/$1/tls.key" -subj "/CN=$1" -out "certs/$1/tls.csr"
  printf '%s\\n' "$2" >"certs/$1/tls.ext"
  openssl x509 -req -in "certs/$1/tls.csr" -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 825 \\
    -extfile "certs/$1/tls.ext" -out "certs/$1/tls.crt" 2>/dev/null
  rm "certs/$1/tls.csr" "certs/$1/tls.ext"
  cp certs/ca.crt "certs/$1/ca.crt"
  chmod 755 "certs/$1"
  chmod 644 "certs/$1/tls.key" "certs/$1/tls.crt" "certs/$1/ca.crt"
  echo "made certs/$1"
}
${servers
  .map(
    (name) => `signed ${name} "subjectAltName=DNS:${name},DNS:localhost,IP:127.0.0.1,${more}
extendedKeyUsage=serverAuth"\n`,
  )
  .join('')}${clients.map((name) => `signed ${name} "extendedKeyUsage=clientAuth"\n`).join('')}`;
}

/** What to do with the files, in the order of doing it. */
function readme(values: Values): string {
  const { name, host, image, platform, kafka, nats, redis, services } = values;
  const contexts = Object.entries(services).flatMap(([service, { context }]) => (context ? [service] : []));
  const motion = Object.values(services).some(({ talksTo }) => talksTo.some((to) => to.startsWith('nats:')));
  const scope = kafkaScope(values);
  const open = scope ? scope.ports : null;
  return `# ${name} with Docker Compose

Rendered by \`aiot deploy render --target compose\`. No file here holds a secret; \`secrets.sh\` makes them where you are. The image \`${image}\` is what
aiot's Dockerfile makes.

\`\`\`sh
sh secrets.sh                        # secrets/ and certs/: keep a copy elsewhere
aiot deploy check .                  # what would go wrong
docker compose up -d --wait${(nats || redis) && !motion ? '          # --profile motion: NATS and Redis too' : ''}
docker compose ps
\`\`\`
${
  platform
    ? `
The first token is made on your terminal, by a further process of the platform that you end with Ctrl-C:

\`\`\`sh
docker compose exec platform /nodejs/bin/node /app/bin/run.js up --new-token --data /tmp/first --http-port 0 --mqtt-port 0${platform.compat ? ' --compat-ports 0,0,0,0' : ''}
docker compose exec platform /nodejs/bin/node -p "require('node:fs').readFileSync('/var/lib/aiot/platform/pki/ca.crt','utf8')" >ca.crt
aiot context add ${name} --url https://${host}:${platform.port} --mqtt mqtts://${host}:${platform.mqttPort} --ca ca.crt --token-file -
\`\`\`
`
    : ''
}
| | |
| --- | --- |
${rows(values).join('\n')}

- Containers run without root, without capabilities, with a read-only root file system. \`inside\` is a network without a way out.
${open ? '- Kafka listens outside without a password, for the guide’s clients, which have none: let the firewall say who may come.\n' : ''}${kafka && !open ? '- Kafka is for this installation alone; from outside nobody reaches it.\n' : ''}${
  contexts.length > 0
    ? `- ${contexts.map((service) => `\`context/${service}/\``).join(', ')}: contexts.json with a token of its own, and ca.crt, which it names as /context/ca.crt.\n`
    : ''
}- On another machine: \`docker context use NAME\` first. Files are bind mounts: they have to be there too, at the same place.
- Rendered again, it changes what it has rendered, and refuses what you have edited.
`;
}

function rows(values: Values): string[] {
  const { platform, nats, redis, services, kafka } = values;
  const scope = kafkaScope(values);
  const open = scope ? scope.ports : null;
  return [
    ...(platform
      ? [
          `| API | port ${platform.port} |`,
          `| MQTT for devices | port ${platform.mqttPort} |`,
          ...(platform.compat ? [`| the guide's services | ports ${platform.compatPorts.join(', ')} |`] : []),
        ]
      : []),
    ...(mosquittoAlone(values) ? ['| MQTT over TLS, user `programs` | port 8883 |'] : []),
    ...(kafka
      ? [`| Kafka | ${open ? `port ${kafka.outside ? kafka.outside.bootstrap : ''}` : 'inside'} |`]
      : []),
    ...(nats ? ['| NATS over TLS, with the token | port 4222 |'] : []),
    ...(redis ? ['| Redis over TLS, with the password | port 7379 |'] : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.map(({ port, nodePort }) => `| ${name} | port ${nodePort ?? port} |`),
    ),
  ];
}

import { join } from 'node:path';
import { unless } from '../core/errors.js';
import { readText } from '../core/files.js';
import { aiotVersion } from '../core/folders.js';
import type { Problem } from '../core/issues.js';
import type { Project } from '../core/project.js';
import { parseYaml } from '../core/yaml.js';
import { type Given, type ServiceValues, valuesSchema } from './values-schema.js';

/** Default name of the values file, next to aiot.yaml. */
const valuesFile = 'deploy.yaml';

interface ValuesOptions {
  /** Path of the values file; absent = the project's values file, if there is one. */
  file?: string | undefined;
  project: Project | null;
  /** Returns the components that the target installs by default. Some are installed only if the project has streams. */
  usual: () => Usual;
}

/** Reads the values. @throws AIOT_DEPLOY_VALUES (all problems, each with file:line:column), AIOT_FILE_NOT_FOUND */
export async function loadValues({ file, project, usual }: ValuesOptions): Promise<Values> {
  const own = project === null ? undefined : join(project.dir, valuesFile);
  const text =
    file === undefined
      ? own === undefined
        ? undefined
        : await unless('AIOT_FILE_NOT_FOUND', readText(own))
      : await readText(file);
  // A file that contains only comments is considered empty.
  const empty = text === undefined || text.split('\n').every((line) => /^\s*(#|$)/.test(line));
  const given = empty ? valuesSchema.parse({}) : parseValues(text, file ?? own ?? valuesFile);
  return resolveValues(given, project, usual());
}

export function parseValues(text: string, file: string): Given {
  return parseYaml(text, file, valuesSchema, { code: 'AIOT_DEPLOY_VALUES', check: problemsIn });
}

/** Problems that involve several fields, which the schema cannot express. */
function problemsIn(given: Given): Problem[] {
  return [
    ...portProblems(given),
    ...partProblems(given),
    ...brokerProblems(given),
    ...databaseProblems(given),
    ...serviceProblems(given),
    ...nodeProblems(given),
  ];
}

function portProblems({ platform, kafka, services }: Given): Problem[] {
  const outside = kafka ? kafka.outside : false;
  const all: { path: PropertyKey[]; port: number }[] = [
    ...((platform ? platform.compat : undefined) !== undefined && platform
      ? platform.compatPorts.map((port, index) => ({ path: ['platform', 'compatPorts', index], port }))
      : []),
    ...(outside ? [{ path: ['kafka', 'outside', 'bootstrap'], port: outside.bootstrap }] : []),
    ...(outside && kafka
      ? outside.brokers
          .slice(0, kafka.brokers)
          .map((port, index) => ({ path: ['kafka', 'outside', 'brokers', index], port }))
      : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.flatMap(({ nodePort }, index) =>
        nodePort === undefined
          ? []
          : [{ path: ['services', name, 'ports', index, 'nodePort'], port: nodePort }],
      ),
    ),
  ];
  const twice = all.flatMap(({ path, port }, index) => {
    const first = all.findIndex((other) => other.port === port);
    return first === index
      ? []
      : [{ path, message: `${port} is already used for ${all[first]?.path.join('.')}` }];
  });
  const few =
    kafka && outside && outside.brokers.length < kafka.brokers
      ? [
          {
            path: ['kafka', 'outside', 'brokers'],
            message: `expected one port for each of ${kafka.brokers} brokers; got ${outside.brokers.length}`,
          },
        ]
      : [];
  return [...twice, ...few];
}

function partProblems({ platform, broker, objects, backup }: Given): Problem[] {
  if (!platform) {
    return backup ? [{ path: ['backup'], message: 'expected false: there is no platform to back up' }] : [];
  }
  const needs = (path: PropertyKey[], message: string) => [{ path, message }];
  return [
    ...(platform.compat && platform.replicas > 1
      ? needs(
          ['platform', 'replicas'],
          "expected 1: the guide's clients support one broker only, the platform's",
        )
      : []),
    ...(platform.compat && broker
      ? needs(['broker'], "expected false: the guide's clients support one broker only, the platform's")
      : []),
    ...(objects === false ? needs(['objects'], 'the platform needs S3, here or elsewhere (endpoint)') : []),
  ];
}

function brokerProblems({ platform, broker }: Given): Problem[] {
  const nats = broker !== false && broker.engine === 'nats';
  const autoscale = platform ? platform.autoscale : undefined;
  const problems: [boolean, PropertyKey[], string][] = [
    [nats && !platform, ['broker', 'engine'], 'expected mosquitto: NATS asks the platform who may connect'],
    [
      !nats && broker !== false && broker.servers > 1,
      ['broker', 'servers'],
      'expected 1: Mosquitto has no cluster; for three servers, set `engine: nats`',
    ],
    [
      autoscale !== undefined && !nats,
      ['platform', 'autoscale'],
      'needs `broker: { engine: nats }`; with other brokers, one replica stores all messages',
    ],
    [
      autoscale !== undefined && platform !== false && autoscale.replicas <= platform.replicas,
      ['platform', 'autoscale', 'replicas'],
      'expected more than `platform.replicas`, which is the minimum',
    ],
  ];
  return problems.flatMap(([found, path, message]) => (found ? [{ path, message }] : []));
}

function databaseProblems({ database }: Given): Problem[] {
  if (!database) return [];
  const { instances, backups, restore } = database;
  const three = (name: string) => ({
    path: ['database', name],
    message: 'needs `instances: 3`; to back up a single instance, use `aiot backup create`',
  });
  if (instances === 1)
    return [...(backups ? [three('backups')] : []), ...(restore ? [three('restore')] : [])];
  if (restore && !backups)
    return [
      { path: ['database', 'restore'], message: 'needs `backups`, which names the location to restore from' },
    ];
  if (restore && backups && restore.from === backups.name)
    return [
      {
        path: ['database', 'backups', 'name'],
        message: `expected a name other than ${restore.from}, whose backups would be overwritten`,
      },
    ];
  return [];
}

/** Names of components, which services must not use. */
const partNames = ['platform', 'database', 'objects', 'broker', 'nats', 'redis', 'backup', 'restore'];

function serviceProblems({ services, accelerators }: Given): Problem[] {
  return Object.entries(services).flatMap(([name, { accelerator, size, files, secrets, env }]) => [
    ...(partNames.includes(name)
      ? [{ path: ['services', name], message: `expected a name other than ${partNames.join(', ')}` }]
      : []),
    ...(accelerator !== undefined && !Object.hasOwn(accelerators, accelerator)
      ? [
          {
            path: ['services', name, 'accelerator'],
            message: `not defined in accelerators: ${Object.keys(accelerators).join(', ')}`,
          },
        ]
      : []),
    ...Object.entries(env).flatMap(([key, value]) =>
      secretProblems(['services', name, 'env', key], key, value, secrets),
    ),
    ...secrets.flatMap((secret, index) =>
      Object.hasOwn(env, secret)
        ? [{ path: ['services', name, 'secrets', index], message: `${secret} is also in env` }]
        : [],
    ),
    ...files.flatMap((file, index) =>
      size !== undefined && file.startsWith('data/')
        ? [
            {
              path: ['services', name, 'files', index],
              message: 'expected a path outside data/, which is already a volume',
            },
          ]
        : [],
    ),
  ]);
}

/**
 * Problems with secrets in plain values, which everyone could read. `$(NAME)` is allowed if the name is listed under
 * secrets.
 */
function secretProblems(
  path: PropertyKey[],
  key: string,
  value: string,
  secrets: readonly string[],
): Problem[] {
  const unknown = [...value.matchAll(/\$\(([A-Z][A-Z0-9_]*)\)/g)].filter(
    ([, name = '']) => !secrets.includes(name),
  );
  const open = value.replaceAll(/\$\([A-Z][A-Z0-9_]*\)/g, '');
  const secret =
    (/(PASSWORD|TOKEN|SECRET|ACCESS_KEY)$/.test(key) && open !== '') || /:\/\/[^/\s:@]*:[^/\s@]+@/.test(open);
  return [
    ...unknown.map(([text, name]) => ({ path, message: `${text}: ${name} is not defined under secrets` })),
    ...(secret
      ? [{ path, message: 'a secret in plain text: define its variable under secrets, and use $(NAME) here' }]
      : []),
  ];
}

function nodeProblems({ nodes, accelerators }: Given): Problem[] {
  const names = nodes.list.map(({ name }) => name);
  const servers = nodes.list.filter(({ role }) => role === 'server').length;
  return [
    ...(servers === 0 || servers === 2
      ? [
          {
            path: ['nodes', 'list'],
            message: `expected 1, 3 or 5 servers (with two, the failure of one stops both); got ${servers}`,
          },
        ]
      : []),
    ...names.flatMap((name, index) =>
      names.indexOf(name) === index
        ? []
        : [{ path: ['nodes', 'list', index, 'name'], message: `${name} is listed twice` }],
    ),
    ...nodes.list.flatMap(({ accelerator }, index) =>
      accelerator !== undefined && !Object.hasOwn(accelerators, accelerator)
        ? [
            {
              path: ['nodes', 'list', index, 'accelerator'],
              message: `not defined in accelerators: ${Object.keys(accelerators).join(', ')}`,
            },
          ]
        : [],
    ),
  ];
}

type Optional = 'name' | 'namespace' | 'hosts' | 'image' | 'kafka' | 'nats' | 'redis' | 'argo' | 'pullSecret';

/** The values of deploy.yaml, with defaults filled in. */
export interface Values extends Omit<Given, Optional> {
  name: string;
  namespace: string;
  hosts: string[];
  /** The first of `hosts`. */
  host: string;
  image: string;
  pullSecret: string | null;
  kafka: Exclude<Given['kafka'], undefined>;
  nats: Exclude<Given['nats'], undefined>;
  redis: Exclude<Given['redis'], undefined>;
  argo: Exclude<Given['argo'], undefined>;
  services: Record<string, ServiceValues>;
}

/** Components that are installed by default. */
export interface Usual {
  kafka: Values['kafka'];
  nats: Values['nats'];
  redis: Values['redis'];
  argo: Values['argo'];
}

/** No components except those that are requested. */
export const nothing: Usual = { kafka: false, nats: false, redis: false, argo: false };

/** Derives values that are missing in deploy.yaml from the project and the target's defaults. */
function resolveValues(given: Given, project: Project | null, usual: Usual): Values {
  const name = given.name ?? labelOf(project?.config.name ?? 'aiot');
  const hosts = given.hosts ?? [`${name}.internal`];
  return {
    ...given,
    name,
    namespace: given.namespace ?? name,
    hosts,
    host: hosts[0] ?? `${name}.internal`,
    image: given.image ?? `registry.internal:5000/aiot:${aiotVersion()}`,
    pullSecret: given.pullSecret ?? null,
    kafka: given.kafka ?? usual.kafka,
    nats: given.nats ?? usual.nats,
    redis: given.redis ?? usual.redis,
    argo: given.argo ?? usual.argo,
  };
}

/** A project's name as a Kubernetes name. */
function labelOf(name: string): string {
  const text = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  return text === '' ? 'aiot' : text;
}

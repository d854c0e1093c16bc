import {
  at,
  type ContainerSpec,
  containersOf,
  type DeployFolder,
  type DeployObject,
  type Finding,
  finding,
  listAt,
  podsOf,
  walk,
} from './objects.js';

/** Findings about probes, limits, images, and the requirements of the namespace's Pod Security profile. */
export function podFindings({ objects }: DeployFolder): Finding[] {
  const containers = containersOf(podsOf(objects));
  const restricted = objects.some(
    ({ kind, data }) =>
      kind === 'Namespace' &&
      at(data, 'metadata', 'labels', 'pod-security.kubernetes.io/enforce') === 'restricted',
  );
  return [
    ...containers.flatMap(probeFindings),
    ...containers.flatMap(limitFindings),
    ...(restricted ? containers.flatMap(restrictedFindings) : []),
    ...objects.flatMap((object) =>
      object.kind === 'Kustomization' || object.kind === 'Component'
        ? []
        : [...walk(object.data)]
            .filter(({ path, value }) => path.at(-1) === 'image' && typeof value === 'string')
            .flatMap(({ path, value }) => {
              const wrong = wrongImage(value as string);
              return wrong === undefined ? [] : [finding(object, path, 'image', wrong)];
            }),
    ),
    ...objects.flatMap((object) => {
      const replicas = objects.find(
        ({ kind, data }) =>
          (kind === 'Deployment' || kind === 'StatefulSet') &&
          JSON.stringify(at(data, 'spec', 'selector', 'matchLabels')) ===
            JSON.stringify(at(object.data, 'spec', 'selector', 'matchLabels')),
      );
      const least = at(object.data, 'spec', 'minAvailable');
      if (object.kind !== 'PodDisruptionBudget' || !replicas || typeof least !== 'number') return [];
      const there = Number(at(replicas.data, 'spec', 'replicas') ?? 1);
      return least < there
        ? []
        : [
            finding(
              object,
              ['spec', 'minAvailable'],
              'budget',
              `${least} of ${there} must stay available: no node that runs one of them can be drained`,
            ),
          ];
    }),
  ];
}

function probeFindings({ container, at: path, object, serves, first }: ContainerSpec): Finding[] {
  if (first || !serves) return [];
  const listens = listAt(container, 'ports').length > 0;
  const missing = (probe: string, message: string, level?: Finding['level']) =>
    container[probe] === undefined
      ? [finding(object, path, 'probe', `${container.name}: ${message}`, level)]
      : [];
  return listens
    ? [
        ...missing('readinessProbe', 'no readinessProbe: it receives requests before it can respond'),
        ...missing('livenessProbe', 'no livenessProbe: it is not restarted if it hangs', 'warning'),
      ]
    : [];
}

function limitFindings({ container, at: path, object }: ContainerSpec): Finding[] {
  const lacks = (where: string) => at(container, 'resources', where, 'memory') === undefined;
  return [
    ...(lacks('limits')
      ? [
          finding(
            object,
            path,
            'limit',
            `${container.name}: no memory limit: it can use all memory of its node`,
          ),
        ]
      : []),
    ...(lacks('requests')
      ? [
          finding(
            object,
            path,
            'limit',
            `${container.name}: no memory request: it is evicted first`,
            'warning',
          ),
        ]
      : []),
  ];
}

function restrictedFindings({ container, spec, at: path, object }: ContainerSpec): Finding[] {
  const own = (key: string) => at(container, 'securityContext', key) ?? at(spec, 'securityContext', key);
  const drops = at(container, 'securityContext', 'capabilities', 'drop');
  const wants: [boolean, string][] = [
    [own('runAsNonRoot') === true, 'runAsNonRoot: true'],
    [
      at(container, 'securityContext', 'allowPrivilegeEscalation') === false,
      'allowPrivilegeEscalation: false',
    ],
    [Array.isArray(drops) && drops.includes('ALL'), 'capabilities.drop: [ALL]'],
    [at(own('seccompProfile'), 'type') !== undefined, 'seccompProfile.type: RuntimeDefault'],
    [own('runAsUser') !== 0, 'a runAsUser other than 0'],
  ];
  const missing = wants.filter(([there]) => !there).map(([, what]) => what);
  return missing.length === 0
    ? []
    : [
        finding(
          object,
          path,
          'pod-security',
          `${container.name}: the namespace rejects it without ${missing.join(', ')}`,
        ),
      ];
}

/**
 * The problem with an image's tag, if there is one. An image from a Compose variable is not checked, because its value is set elsewhere.
 */
function wrongImage(image: string): string | undefined {
  if (image.includes('${') || image.includes('@sha256:')) return undefined;
  const last = image.slice(image.lastIndexOf('/') + 1);
  if (!last.includes(':')) return `${image} has no tag: its content may change at any time`;
  return last.endsWith(':latest') ? `${image}: latest may change at any time` : undefined;
}

interface Port {
  object: DeployObject;
  path: PropertyKey[];
  port: number;
}

/**
 * Findings about node ports that are outside K3s's range or used twice, load balancer ports on the same nodes, and the ports of Kafka's
 * brokers.
 */
export function portFindings({ objects }: DeployFolder): Finding[] {
  const nodePorts = [...objects.flatMap(ofService), ...objects.flatMap(ofKafka)];
  const balanced = objects
    .filter((object) => object.kind === 'Service' && at(object.data, 'spec', 'type') === 'LoadBalancer')
    .flatMap((object) => numbered(object, ['spec', 'ports'], 'port'));
  return [
    ...nodePorts
      .filter(({ port }) => !Number.isInteger(port) || port < 30_000 || port > 32_767)
      .map(({ object, path, port }) =>
        finding(object, path, 'node-port', `${port} is not a valid node port: K3s allows 30000 to 32767`),
      ),
    ...twice(nodePorts, 'is a node port of'),
    // K3s opens the port of a load balancer on every node.
    ...twice(balanced, 'is already used on every node by'),
    ...objects.flatMap((object) => brokerFindings(object, objects)),
  ];
}

function twice(ports: readonly Port[], is: string): Finding[] {
  return ports.flatMap(({ object, path, port }, index) => {
    const first = ports.findIndex((other) => other.port === port);
    const other = ports[first];
    return first === index || !other
      ? []
      : [finding(object, path, 'port-clash', `${port} ${is} ${other.object.name} (${other.object.file})`)];
  });
}

function numbered(object: DeployObject, path: PropertyKey[], key: string): Port[] {
  return listAt(object.data, ...path).flatMap((entry, index) => {
    const port = entry[key];
    return port === undefined ? [] : [{ object, path: [...path, index, key], port: Number(port) }];
  });
}

const ofService = (object: DeployObject) =>
  object.kind === 'Service' ? numbered(object, ['spec', 'ports'], 'nodePort') : [];

function ofKafka(object: DeployObject): Port[] {
  return listeners(object).flatMap(({ path }) => {
    const bootstrap = [...path, 'configuration', 'bootstrap', 'nodePort'];
    const first = at(object.data, ...bootstrap);
    return [
      ...(first === undefined ? [] : [{ object, path: bootstrap, port: Number(first) }]),
      ...numbered(object, [...path, 'configuration', 'brokers'], 'nodePort'),
    ];
  });
}

function listeners(object: DeployObject) {
  if (object.kind !== 'Kafka') return [];
  return listAt(object.data, 'spec', 'kafka', 'listeners')
    .map((listener, index) => ({ listener, path: ['spec', 'kafka', 'listeners', index] as PropertyKey[] }))
    .filter(({ listener }) => listener.type === 'nodeport');
}

/**
 * Findings about the ports of Kafka's brokers. Clients use the bootstrap port only for their first connection. They then connect to each
 * broker at its own port, which the firewall must allow.
 */
function brokerFindings(object: DeployObject, objects: readonly DeployObject[]): Finding[] {
  const name = at(object.data, 'metadata', 'name');
  const brokers = objects
    .filter(
      (pool) =>
        pool.kind === 'KafkaNodePool' && at(pool.data, 'metadata', 'labels', 'strimzi.io/cluster') === name,
    )
    .filter((pool) => (at(pool.data, 'spec', 'roles') as string[] | undefined)?.includes('broker'))
    .reduce((sum, pool) => sum + Number(at(pool.data, 'spec', 'replicas') ?? 0), 0);
  return listeners(object).flatMap(({ path }) => {
    if (at(object.data, ...path, 'configuration', 'bootstrap', 'nodePort') === undefined) return [];
    const given = new Set(
      listAt(object.data, ...path, 'configuration', 'brokers').map(({ broker }) => Number(broker)),
    );
    const missing = Array.from({ length: brokers }, (_, broker) => broker).filter(
      (broker) => !given.has(broker),
    );
    return missing.length === 0
      ? []
      : [
          finding(
            object,
            path,
            'kafka-port',
            `no nodePort for broker ${missing.join(', ')}: clients connect to the first port, and then to each broker at its own port`,
          ),
        ];
  });
}

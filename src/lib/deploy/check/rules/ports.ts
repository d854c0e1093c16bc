import { at, type DeployFolder, type DeployObject, type Finding, finding, listAt } from '../objects.js';

interface Port {
  object: DeployObject;
  path: PropertyKey[];
  port: number;
}

/** Node ports out of K3S's range or given twice, ports of load balancers that share nodes, and Kafka's port for each broker. */
export function portFindings({ objects }: DeployFolder): Finding[] {
  const nodePorts = [...objects.flatMap(ofService), ...objects.flatMap(ofKafka)];
  const balanced = objects
    .filter((object) => object.kind === 'Service' && at(object.data, 'spec', 'type') === 'LoadBalancer')
    .flatMap((object) => numbered(object, ['spec', 'ports'], 'port'));
  return [
    ...nodePorts
      .filter(({ port }) => !Number.isInteger(port) || port < 30_000 || port > 32_767)
      .map(({ object, path, port }) =>
        finding(object, path, 'node-port', `${port} is no node port: K3S has 30000 to 32767`),
      ),
    ...twice(nodePorts, 'is a node port of'),
    // K3S puts each of them on every node.
    ...twice(balanced, 'is a port of every node already, by'),
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

/** The bootstrap port is a first contact: each broker is then come to at a port of its own, which the firewall has to know. */
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
            `no nodePort for broker ${missing.join(', ')}: clients come to the first port, and then to each broker at one that nobody knows`,
          ),
        ];
  });
}

import type { Values } from '../values.js';
import { cluster } from './k3s-kafka.js';
import { hasNatsBroker } from './nats-broker.js';

/** A policy in the form of templates/deploy/k3s/network.yaml; null entries are omitted. */
interface Policy {
  name: string;
  selector: Selector;
  types: ('Ingress' | 'Egress')[];
  ingress: object[] | null;
  egress: object[] | null;
}

type Selector = { matchLabels: Record<string, string> };

const named = (name: string): Selector => ({ matchLabels: { 'app.kubernetes.io/name': name } });
const strimzi: Selector = { matchLabels: { 'strimzi.io/cluster': cluster } };
const steps: Selector = { matchLabels: { 'aiot/step': 'true' } };
const bus: Selector = { matchLabels: { 'eventbus-name': 'default' } };
/** Pods that CloudNativePG creates. */
const instances: Selector = { matchLabels: { 'cnpg.io/cluster': 'database' } };
const ports = (...all: number[]) => all.map((port) => ({ protocol: 'TCP', port }));

const from = (selectors: Selector[], ...at: number[]) => ({
  from: selectors.map((podSelector) => ({ podSelector })),
  ports: ports(...at),
});

const to = (selector: Selector, ...at: number[]) => ({
  to: [{ podSelector: selector }],
  ports: ports(...at),
});

/** A rule that admits all clients, including those outside the cluster. */
const anybody = (...at: number[]) => ({ ports: ports(...at) });

/**
 * The broker's port for programs in the cluster. With a platform, it is the port described in docs/reference/mosquitto; otherwise the
 * standard port.
 */
export const brokerPort = ({ platform }: Values) => (platform ? 1884 : 1883);

/** Ports of the broker to which the platform connects. The platform's own programs use MQTT on NATS, too. */
const brokerPorts = (values: Values) => (hasNatsBroker(values) ? [4222, 8883] : [brokerPort(values)]);

/** The port through which NATS servers connect to each other. */
const routePort = 6222;

/** Ports on which components listen in their pods. */
const partPorts: Readonly<Record<string, number>> = {
  database: 5432,
  objects: 9000,
  kafka: 9092,
  nats: 4222,
  redis: 7379,
  platform: 8443,
};

/** Port of the Kubernetes API on the server nodes; the API's Service forwards connections to it. */
const apiServer = 6443;

/** Network policies that list the allowed connections. Everything else is denied. */
export function policiesOf(values: Values): Policy[] {
  return [
    ...platformPolicies(values),
    ...partPolicies(values),
    ...backupPolicies(values),
    ...kafkaPolicies(values),
    ...argoPolicies(values),
    ...Object.keys(values.services).map((name) => servicePolicy(name, values)),
  ];
}

function both(name: string, selector: Selector, ingress: object[], egress: object[]): Policy {
  return { name, selector, types: ['Ingress', 'Egress'], ingress, egress };
}

/**
 * Permitted destinations of programs that open the platform's state: the platform, and the job that distributes the broker's certificates.
 */
function stateEgress({ database, objects }: Values): object[] {
  return [
    database ? to(databasePods(database), 5432) : anybody(5432),
    ...(objects
      ? [objects.endpoint === undefined ? to(named('objects'), 9000) : anybody(portOf(objects.endpoint))]
      : []),
  ];
}

const databasePods = (database: { instances: number }) =>
  database.instances === 1 ? named('database') : instances;

const portOf = (url: string) => {
  const { port, protocol } = new URL(url);
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
};

function platformPolicies(values: Values): Policy[] {
  const { platform, broker, kafka } = values;
  if (!platform) return [];
  const doors = [
    8443,
    ...(broker ? [] : [8883]),
    ...(platform.compat === undefined ? [] : platform.compatPorts),
  ];
  return [
    both(
      'platform',
      named('platform'),
      [anybody(...doors)],
      [
        ...stateEgress(values),
        ...(broker ? [to(named('broker'), ...brokerPorts(values))] : []),
        ...(kafka ? [to(strimzi, 9092)] : []),
        // Destinations of webhooks: addresses on the internet, except those of the cluster and the local network.
        {
          to: [
            {
              ipBlock: {
                cidr: '0.0.0.0/0',
                except: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16'],
              },
            },
          ],
          ports: ports(443),
        },
      ],
    ),
  ];
}

/** Selectors of the services that declare a connection to this component. */
function talkingTo({ services }: Pick<Values, 'services'>, part: string): Selector[] {
  return Object.entries(services)
    .filter(([, { talksTo }]) => talksTo.some((target) => target.startsWith(`${part}:`)))
    .map(([name]) => named(name));
}

function partPolicies(values: Values): Policy[] {
  const { platform, database, objects, broker, nats, redis, argo } = values;
  const restored = values.backup !== false && values.backup.restore !== undefined;
  const state = [
    ...(platform ? [named('platform')] : []),
    ...(broker && platform ? [named('broker')] : []),
    ...(restored ? [named('restore')] : []),
  ];
  const eventSources: Selector = { matchLabels: { 'eventsource-name': 'control-mqtt' } };
  const policies = [
    database && database.instances === 1 && { part: 'database', at: [5432], who: state },
    objects &&
      objects.endpoint === undefined && {
        part: 'objects',
        at: [9000],
        who: [...state, ...(argo ? [steps] : [])],
      },
    nats && { part: 'nats', at: [4222], who: [] },
    redis && { part: 'redis', at: [7379], who: [] },
  ].flatMap((each) => {
    if (!each) return [];
    const who = [...each.who, ...talkingTo(values, each.part)];
    const own = each.part === 'objects' ? [named('objects')] : [];
    return [
      both(
        each.part,
        named(each.part),
        [
          ...(who.length === 0 ? [] : [from(who, ...each.at)]),
          ...(own.length === 0 ? [] : [from(own, ...garagePorts)]),
        ],
        own.map((selector) => to(selector, ...garagePorts)),
      ),
    ];
  });
  policies.push(...clusterPolicies(values, state));
  if (!broker) return policies;
  const several = hasNatsBroker(values) && broker.servers > 1;
  const programs = [
    ...(platform ? [named('platform')] : []),
    ...(argo ? [eventSources] : []),
    ...talkingTo(values, 'broker'),
  ];
  return [
    ...policies,
    both(
      'broker',
      named('broker'),
      hasNatsBroker(values)
        ? [
            anybody(8883),
            from([named('platform')], 4222),
            ...(several ? [from([named('broker')], routePort)] : []),
          ]
        : [anybody(8883), from(programs, brokerPort(values))],
      [...(platform ? stateEgress(values) : []), ...(several ? [to(named('broker'), routePort)] : [])],
    ),
  ];
}

function backupPolicies(values: Values): Policy[] {
  const { backup } = values;
  if (backup === false) return [];
  return [
    both('backup', named('backup'), [], [to(named('platform'), 8443)]),
    ...(backup.restore === undefined ? [] : [both('restore', named('restore'), [], stateEgress(values))]),
  ];
}

/** Ports through which Garage's nodes and their setup service connect to each other. */
const garagePorts = [3901, 3903];

/** Policies for CloudNativePG, whose operator queries the instances for their state. The instances connect to the Kubernetes API. */
function clusterPolicies({ database, services }: Values, state: readonly Selector[]): Policy[] {
  if (!database || database.instances === 1) return [];
  const operator = {
    from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'cnpg-system' } } }],
    ports: ports(5432, 8000),
  };
  const who = [...state, ...talkingTo({ services }, 'database')];
  const { backups } = database;
  return [
    both(
      'database',
      instances,
      [...(who.length === 0 ? [] : [from(who, 5432)]), from([instances], 5432, 8000), operator],
      [
        to(instances, 5432, 8000),
        anybody(apiServer, 443),
        ...(backups?.endpoint === undefined ? [] : [anybody(portOf(backups.endpoint))]),
      ],
    ),
  ];
}

/** Policies for Kafka, in addition to those that Strimzi creates for its own pods. */
function kafkaPolicies({ kafka }: Values): Policy[] {
  if (!kafka) return [];
  return [
    {
      name: 'kafka',
      selector: strimzi,
      types: ['Ingress', 'Egress'],
      ingress: [from([strimzi], 9090, 9091, 9092), anybody(9092, 9094)],
      egress: [to(strimzi, 9090, 9091, 9092), anybody(apiServer, 443)],
    },
  ];
}

function argoPolicies({ argo, broker, kafka, objects, platform }: Values): Policy[] {
  if (!argo) return [];
  const events: Selector[] = ['eventsource-name', 'sensor-name'].map((key) => ({
    matchLabels: { 'aiot/events': key },
  }));
  const [sources, sensors] = events as [Selector, Selector];
  const stepsTo = [
    anybody(apiServer, 443),
    ...(objects
      ? [objects.endpoint === undefined ? to(named('objects'), 9000) : anybody(portOf(objects.endpoint))]
      : []),
    ...(platform ? [to(named('platform'), 8443)] : []),
    ...(kafka ? [to(strimzi, 9092)] : []),
  ];
  return [
    both('eventbus', bus, [from([bus, sources, sensors], 4222, 6222, 8222)], [to(bus, 4222, 6222)]),
    both('event-sources', sources, argo.webhook ? [anybody(12_000)] : [], [
      to(bus, 4222),
      ...(broker && broker.engine === 'mosquitto' ? [to(named('broker'), 1884)] : []),
      ...(kafka ? [to(strimzi, 9092)] : []),
    ]),
    both('event-sensors', sensors, [], [to(bus, 4222), anybody(apiServer, 443)]),
    both('pipeline-steps', steps, [], stepsTo),
  ];
}

function servicePolicy(name: string, values: Values): Policy {
  const service = values.services[name]!;
  const open = service.ports.filter(({ nodePort }) => nodePort !== undefined).map(({ port }) => port);
  const inside = service.ports.filter(({ nodePort }) => nodePort === undefined).map(({ port }) => port);
  const others = talkingTo(values, name);
  const egress = service.talksTo.map((target) => {
    const [part = '', port] = target.split(':');
    if (part === 'kafka') return to(strimzi, partPorts.kafka!);
    if (part === 'database' && values.database) return to(databasePods(values.database), partPorts.database!);
    return to(named(part), partPorts[part] ?? Number(port));
  });
  return both(
    name,
    named(name),
    [
      ...(open.length > 0 ? [anybody(...open)] : []),
      ...(inside.length > 0 && others.length > 0 ? [from(others, ...inside)] : []),
    ],
    [...egress, ...(service.outside.length > 0 ? [anybody(...service.outside)] : [])],
  );
}

import { stringify } from 'yaml';
import type { Values } from '../values.js';
import { limitsOf, secure } from './k3s-environment.js';

type Kafka = Exclude<Values['kafka'], false>;

/** Name of the Kafka cluster. Strimzi names its services after it: CLUSTER-kafka-bootstrap and CLUSTER-kafka-LISTENER-bootstrap. */
export const cluster = 'kafka';

/** Whether clients authenticate with a password, which the guide's clients cannot do. */
export const isSecured = ({ kafka, platform }: Values) =>
  kafka !== false && !(platform !== false && platform.compat !== undefined);

export const bootstrapOf = ({ kafka, namespace }: Values) =>
  kafka ? `${cluster}-kafka-bootstrap.${namespace}.svc:9092` : null;

/**
 * Values for Kafka. The guide's clients have neither a certificate nor a password. If these clients are supported, Kafka requires
 * neither, and only network policies restrict access. Otherwise, every client is a user with the permissions listed here.
 */
export function kafkaScope(values: Values) {
  const { kafka } = values;
  if (!kafka) return false;
  const open = !isSecured(values);
  return {
    name: cluster,
    version: kafka.version,
    brokers: kafka.brokers,
    size: kafka.size,
    storageClass: kafka.storageClass ?? values.storageClass,
    bootstrap: bootstrapOf(values),
    authorization: open ? null : { type: 'simple' },
    listeners: listenersOf(kafka, values, open),
    config: configOf(kafka.brokers),
    limits: limitsOf(kafka.resources),
    topics: kafka.topics.map(({ name, partitions }) => ({ name: labelOf(name), topic: name, partitions })),
    users: open ? [] : usersOf(values),
  };
}

function listenersOf({ brokers, outside }: Kafka, { hosts }: Values, open: boolean) {
  const authentication = open ? {} : { authentication: { type: 'scram-sha-512' } };
  return [
    { name: 'plain', port: 9092, type: 'internal', tls: false, ...authentication },
    ...(outside
      ? [
          {
            name: 'outside',
            port: 9094,
            type: 'nodeport',
            tls: !open,
            ...authentication,
            configuration: {
              preferredNodePortAddressType: 'InternalIP',
              bootstrap: { nodePort: outside.bootstrap, ...(open ? {} : { alternativeNames: hosts }) },
              // Clients first connect to the bootstrap address, and then to each broker at its own port.
              brokers: outside.brokers.slice(0, brokers).map((nodePort, broker) => ({
                broker,
                nodePort,
                ...(outside.host === undefined ? {} : { advertisedHost: outside.host }),
              })),
            },
          },
        ]
      : []),
  ];
}

/** Kafka's settings. A single broker has no replicas. With three brokers, two must store a message before it is acknowledged. */
function configOf(brokers: 1 | 3) {
  const [copies, enough] = brokers === 3 ? [3, 2] : [1, 1];
  return {
    'auto.create.topics.enable': false,
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': enough,
    'default.replication.factor': copies,
    'min.insync.replicas': enough,
  };
}

const on = (type: string, name: string, operations: string[], patternType = 'literal') => ({
  resource: { type, name, patternType },
  operations,
});

function usersOf({ services, argo, kafka }: Values) {
  const topics = kafka ? kafka.topics.map(({ name }) => name) : [];
  const all = (operations: string[]) => topics.map((name) => on('topic', name, operations));
  return [
    {
      name: 'kafka-platform',
      // The platform looks up the topics of its relay, and creates missing ones.
      acls: [
        ...all(['Read', 'Write', 'Create', 'Describe', 'DescribeConfigs']),
        on('group', '*', ['Read']),
        { resource: { type: 'cluster' }, operations: ['Describe', 'DescribeConfigs', 'IdempotentWrite'] },
      ],
    },
    ...(argo
      ? [
          {
            name: 'kafka-pipeline',
            acls: [...all(['Read', 'Write', 'Describe']), on('group', '*', ['Read'])],
          },
        ]
      : []),
    ...Object.entries(services)
      .filter(([, { talksTo }]) => talksTo.some((to) => to.startsWith('kafka:')))
      .map(([name]) => ({
        name: `kafka-${name}`,
        acls: [...all(['Read', 'Write', 'Describe']), on('group', '*', ['Read'])],
      })),
  ];
}

/** A topic's name as a Kubernetes name, which must not contain uppercase letters or underscores. */
function labelOf(topic: string): string {
  return topic
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
}

/** The values to which templates/deploy/k3s/argo.yaml refers. */
export function argoScope(values: Values, pipeline: boolean) {
  const { argo, kafka, objects, platform } = values;
  // NATS admits only clients that the platform knows, so Argo reads no control messages from it.
  const broker = platform && values.broker !== false && values.broker.engine === 'mosquitto';
  if (!argo) return false;
  const sources = [
    ...(broker ? ['control-mqtt'] : []),
    ...(kafka ? ['control-kafka'] : []),
    ...(argo.webhook ? ['control-webhook'] : []),
  ];
  const pod = (role: string, account: object) => ({
    metadata: { labels: { 'aiot/events': role } },
    ...account,
    securityContext: secure.pod,
    container: {
      resources: limitsOf({ cpu: '20m', memory: '64Mi', limit: '256Mi' }),
      securityContext: secure.container,
    },
  });
  return {
    bus: argo.bus,
    busSize: argo.busSize,
    storageClass: values.storageClass,
    workflow: argo.workflow,
    mqtt: Boolean(broker),
    kafka: Boolean(kafka),
    /** Null for the guide's Kafka, because it does not require a password. */
    sasl: isSecured(values)
      ? {
          mechanism: 'SCRAM-SHA-512',
          userSecret: { name: 'pipeline-names', key: 'kafka' },
          passwordSecret: { name: 'kafka-pipeline', key: 'password' },
        }
      : null,
    byHand: pipeline ? null : `WorkflowTemplate/${argo.workflow}`,
    webhook: argo.webhook,
    pod: pod('eventsource-name', {}),
    sensorPod: pod('sensor-name', { serviceAccountName: 'pipeline-sensor' }),
    dependencies: sources.map((source) => ({
      name: source,
      eventSourceName: source,
      eventName: 'control',
      ...(source === 'control-webhook'
        ? {}
        : {
            filters: {
              data: [{ path: 'body.command', type: 'string', comparator: '=', value: argo.commands }],
            },
          }),
    })),
    conditions: sources.join(' || '),
    repository: objects
      ? stringify({
          s3: {
            bucket: objects.bucket,
            keyFormat: 'pipeline/{{workflow.name}}/{{pod.name}}',
            endpoint: objects.endpoint === undefined ? 'objects:9000' : new URL(objects.endpoint).host,
            region: objects.region,
            insecure: objects.endpoint === undefined || objects.endpoint.startsWith('http:'),
            accessKeySecret: { name: 'objects', key: 'user' },
            secretKeySecret: { name: 'objects', key: 'password' },
          },
        })
      : '',
  };
}

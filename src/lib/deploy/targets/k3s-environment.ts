import type { Values } from '../values.js';

export type Variable =
  | { name: string; value: string }
  | { name: string; valueFrom: { secretKeyRef: { name: string; key: string } } }
  | { name: string; valueFrom: { fieldRef: { fieldPath: string } } };

export const said = (name: string, value: string | number): Variable => ({ name, value: String(value) });

/** A variable with a value from a Secret that secrets.sh created, or that Strimzi created for a user. */
export const secret = (name: string, object: string, key: string): Variable => ({
  name,
  valueFrom: { secretKeyRef: { name: object, key } },
});

/** Variables with writable folders for aiot, because the container's root file system is read-only. */
export const folders: Variable[] = [
  said('HOME', '/tmp'),
  said('AIOT_DATA_DIR', '/var/lib/aiot'),
  said('AIOT_CONFIG_DIR', '/var/lib/aiot/config'),
  said('AIOT_CACHE_DIR', '/var/lib/aiot/cache'),
];

export const bucketUrl = ({ objects }: Values) =>
  objects
    ? `s3://${objects.bucket}?endpoint=${objects.endpoint ?? 'http://objects:9000'}&region=${objects.region}`
    : undefined;

/** CloudNativePG has a Service that always routes to the primary. */
const databaseHost = ({ instances }: { instances: number }) => (instances === 1 ? 'database' : 'database-rw');

/** Variables for PostgreSQL, and for the key that encrypts the CA in it. Every process that opens the platform's state needs them. */
export function stateVariables(values: Values): Variable[] {
  const own = values.database
    ? [
        secret('DATABASE_PASSWORD', 'database', 'password'),
        said(
          'AIOT_DATABASE',
          `postgres://aiot:$(DATABASE_PASSWORD)@${databaseHost(values.database)}:5432/aiot`,
        ),
      ]
    : [secret('AIOT_DATABASE', 'platform', 'database')];
  const blobs = bucketUrl(values);
  return [
    ...own,
    secret('AIOT_PLATFORM_SECRET', 'platform', 'secret'),
    ...(blobs === undefined
      ? []
      : [
          said('AIOT_BLOBS', blobs),
          secret('AWS_ACCESS_KEY_ID', 'objects', 'user'),
          secret('AWS_SECRET_ACCESS_KEY', 'objects', 'password'),
        ]),
  ];
}

const mosquittoAddress = said('AIOT_BROKER', 'mqtt://platform:$(BROKER_PASSWORD)@broker:1884');

/** NATS has one MQTT listener, which uses TLS. Connections of the NATS protocol are plain, and possible only for the platform's pods. */
function natsAddresses({ servers }: { servers: number }): Variable[] {
  const user = 'platform:$(BROKER_PASSWORD)@broker';
  const nodes = Array.from({ length: servers }, (_, index) => `broker-${index}.broker-nodes:4222`);
  return [
    secret('BROKER_SYSTEM_PASSWORD', 'broker', 'system'),
    said('AIOT_BROKER', `nats://${user}:4222?mqtt=mqtts://${user}:8883`),
    said('AIOT_INGEST', 'jetstream'),
    said('AIOT_BROKER_CONTROL', `nats://system:$(BROKER_SYSTEM_PASSWORD)@${nodes.join(',')}`),
    said('NODE_EXTRA_CA_CERTS', '/pki/ca.crt'),
  ];
}

/** Settings of `aiot up` as variables, one for each flag. */
export function platformVariables(values: Values, bootstrap: string | null): Variable[] {
  const { platform, broker, kafka, hosts } = values;
  if (!platform) return [];
  const guide = platform.compat !== undefined;
  return [
    ...folders,
    said('AIOT_DATA', '/var/lib/aiot/platform'),
    said('AIOT_HOST', '0.0.0.0'),
    said('AIOT_PUBLIC', hosts.join(',')),
    said('AIOT_HTTP_PORT', 8443),
    // The port to which devices connect: the platform broker's, or the external broker's.
    said('AIOT_MQTT_PORT', broker ? platform.mqttPort : 8883),
    said('AIOT_CERT', '/tls/tls.crt'),
    said('AIOT_KEY', '/tls/tls.key'),
    ...stateVariables(values),
    ...(broker
      ? [
          secret('BROKER_PASSWORD', 'broker', 'platform'),
          ...(broker.engine === 'nats' ? natsAddresses(broker) : [mosquittoAddress]),
        ]
      : []),
    ...(kafka && bootstrap !== null
      ? guide
        ? [said('AIOT_EVENTS', `kafka://${bootstrap}`)]
        : [
            secret('KAFKA_PASSWORD', 'kafka-platform', 'password'),
            said('AIOT_EVENTS', `kafka://kafka-platform:$(KAFKA_PASSWORD)@${bootstrap}?sasl=scram-sha-512`),
          ]
      : []),
    ...(guide
      ? [
          said('AIOT_COMPAT', platform.compat ?? ''),
          said('AIOT_COMPAT_PORTS', platform.compatPorts.join(',')),
        ]
      : []),
  ];
}

/**
 * A pod's security context, slightly stricter than Pod Security's `restricted` profile. User IDs are numeric, because the kubelet cannot
 * look up names.
 */
const pod = (user: number) => ({
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: user,
  fsGroup: user,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
});

const container = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

/** ID of the user `nonroot` in distroless images. */
const ourUser = 65_532;

export const secure = {
  pod: pod(ourUser),
  container,
  /** User ids in the images of PostgreSQL and Mosquitto. */
  database: pod(999),
  broker: pod(1883),
  /** No user ID is set, because the operator's images set a user other than root. */
  strimziPod: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  strimzi: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
};

/** Tolerations that move pods from a lost node to another one after half a minute instead of five minutes. */
export const failover = ['node.kubernetes.io/unreachable', 'node.kubernetes.io/not-ready'].map((key) => ({
  key,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 30,
}));

interface Resources {
  cpu: string;
  memory: string;
  limit: string;
}

/** Resources of a container. There is no CPU limit, because it would throttle a process even on an idle node. */
export const limitsOf = ({ cpu, memory, limit }: Resources, extra: Record<string, number> = {}) => ({
  requests: { cpu, memory },
  limits: { memory: limit, ...extra },
});

/** Limits pods to nodes whose architecture the images support, because pods could not start on other nodes. */
export const affinityOf = ({ arch }: Values) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [
        { matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'In', values: arch }] },
      ],
    },
  },
});

export type Affinity = ReturnType<typeof affinityOf>;

/** Also places each of a component's pods on a node of its own, so that the loss of a node stops only one of them. */
export const affinityApart = (affinity: Affinity, part: string) => ({
  ...affinity,
  podAntiAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      {
        labelSelector: { matchLabels: { 'app.kubernetes.io/name': part } },
        topologyKey: 'kubernetes.io/hostname',
      },
    ],
  },
});

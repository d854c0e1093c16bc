import * as z from 'zod';

/** A schema that also allows `false`, for a component that is not part of the installation. */
const orNone = <Schema extends z.ZodType>(schema: Schema) => z.union([z.literal(false), schema]);

/** A Kubernetes quantity of CPU time. */
const cpu = z.union([
  z.string().regex(/^([1-9]\d{0,4}m|\d{1,3}(\.\d{1,3})?)$/, 'expected a number of CPUs such as 250m or 2'),
  z.number().positive().max(999).transform(String),
]);

/** A Kubernetes quantity of bytes. */
const bytes = z.string().regex(/^[1-9]\d{0,5}(Ki|Mi|Gi|Ti)$/, 'expected a size such as 10Gi');

const resources = (usual: { cpu: string; memory: string; limit: string }) =>
  z
    .strictObject({
      cpu: cpu.default(usual.cpu),
      memory: bytes.default(usual.memory),
      /** Memory limit. A process that exceeds it is killed and restarted. */
      limit: bytes.default(usual.limit),
    })
    .prefault({});

const lastPart = (text: string) => text.slice(text.lastIndexOf('/') + 1);

/** An image with a tag or a digest. Without either, the image could change at any time. */
const image = z
  .string()
  .max(400)
  .regex(
    /^[a-z0-9][\w.-]*(:\d+)?(\/[a-z0-9][a-z0-9._-]*)*(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?$/,
    'expected an image such as registry.internal:5000/aiot:1.2.3',
  )
  .refine(
    (text) => /@sha256:/.test(text) || (/:[\w][\w.-]*$/.test(lastPart(text)) && !text.endsWith(':latest')),
    'expected a tag or a digest, and not "latest"',
  );

/** Images of the components, which may come from other registries. */
const images = z
  .strictObject({
    database: image.default('docker.io/library/postgres:17.6'),
    /** PostgreSQL for CloudNativePG, if the database has several instances. */
    cluster: image.default('ghcr.io/cloudnative-pg/postgresql:17.6'),
    objects: image.default('docker.io/dxflrs/garage:v2.5.0'),
    broker: image.default('docker.io/library/eclipse-mosquitto:2.0.22'),
    /** NATS for devices, which must be able to ask the platform about its clients (2.15 or newer). */
    natsBroker: image.default('docker.io/library/nats:2.15.3-alpine'),
    kafka: image.optional(),
    nats: image.default('docker.io/library/nats:2.11.9-alpine'),
    redis: image.default('docker.io/library/redis:8.2.1-alpine'),
  })
  .prefault({});

const port = z.int().min(1).max(65_535);

/** A node port. By default, K3s restricts node ports to this range (--service-node-port-range). */
const nodePort = z
  .int()
  .min(30_000, 'expected a node port, 30000 to 32767')
  .max(32_767, 'expected a node port, 30000 to 32767');

/** Scales the platform by the messages that wait in NATS. */
const autoscale = z.strictObject({
  /** Maximum number of replicas; `platform.replicas` is the minimum. */
  replicas: z.int().min(2).max(50),
  /** Waiting messages for each replica. With more, another replica starts. */
  backlog: z.int().min(1).default(10_000),
});

const platform = z.strictObject({
  replicas: z.int().min(1).max(50).default(2),
  autoscale: autoscale.optional(),
  resources: resources({ cpu: '250m', memory: '384Mi', limit: '1Gi' }),
  /** The platform's port for clients outside the cluster. Each K3s node opens it on all of its addresses. */
  port: port.default(8443),
  mqttPort: port.default(8883),
  compat: z.enum(['architects-guide']).optional(),
  /** Node ports of the guide: MQTT, device registry, model registry, training datastore. */
  compatPorts: z.tuple([nodePort, nodePort, nodePort, nodePort]).default([30005, 30006, 30007, 30008]),
});

/** Names of objects and references to them (RFC 1123, 2.1: a label). */
const label = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$/, 'expected at most 53 lowercase letters, digits and dashes');

/** Daily backups by `aiot backup create`, on a volume. */
const backup = z.strictObject({
  /** Time of the backup, UTC. */
  at: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time such as 02:30')
    .default('02:30'),
  /** Number of backups that are kept. */
  keep: z.int().min(1).max(1000).default(7),
  size: bytes.default('20Gi'),
  storageClass: label.optional(),
  /** File on the volume to restore. If set, the folder `restore` is rendered. */
  restore: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]*\.tar$/, 'expected a file on the volume such as backup-29389590-x7k2p.tar')
    .optional(),
});

/** Continuous backups of the database in S3, on another system than the database. */
const backups = z.strictObject({
  destination: z
    .string()
    .regex(
      /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[\w.-]+)*$/,
      'expected a place such as s3://backups/aiot',
    ),
  /** URL of the S3 service; absent = AWS. */
  endpoint: z
    .url({ protocol: /^https?$/, error: 'expected an address such as https://s3.example' })
    .optional(),
  /** Time of the daily base backup, UTC. */
  at: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time such as 03:00')
    .default('03:00'),
  /** How long backups are retained; older ones are deleted. */
  keep: z
    .string()
    .regex(/^[1-9]\d{0,3}[dwm]$/, 'expected a period such as 30d, 8w or 6m')
    .default('30d'),
  /** Name of this database within the destination. A restored database needs a new one. */
  name: label.default('database'),
});

/** Starts a new database from backups instead of an empty one. */
const restore = z.strictObject({
  /** Name of the backed-up database within the destination. */
  from: label.default('database'),
  /** Time to which the database is restored; absent = the latest time in the backups. */
  until: z.iso.datetime({ offset: true, error: 'expected a time such as 2026-05-01T12:00:00Z' }).optional(),
});

const database = z.strictObject({
  /** Number of instances. Three, with CloudNativePG, tolerate the loss of one without losing a commit. */
  instances: z.union([z.literal(1), z.literal(3)]).default(1),
  backups: backups.optional(),
  restore: restore.optional(),
  size: bytes.default('10Gi'),
  storageClass: label.optional(),
  resources: resources({ cpu: '250m', memory: '256Mi', limit: '1Gi' }),
});

const objects = z.strictObject({
  /** Number of Garage nodes. With three, each object is on all of them, and one may be lost. */
  servers: z.union([z.literal(1), z.literal(3)]).default(1),
  bucket: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
      'expected a bucket name of 3 to 63 lowercase letters, digits and dashes',
    )
    .default('aiot'),
  /** URL of an external S3 service. If given, no S3 service is installed. */
  endpoint: z
    .url({ protocol: /^https?$/, error: 'expected an address such as https://s3.example' })
    .optional(),
  region: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .default('us-east-1'),
  size: bytes.default('20Gi'),
  storageClass: label.optional(),
  resources: resources({ cpu: '100m', memory: '256Mi', limit: '1Gi' }),
});

const broker = z.strictObject({
  /** NATS replicates messages on three servers, and lets all replicas of the platform store them. */
  engine: z.enum(['mosquitto', 'nats']).default('mosquitto'),
  /** Number of NATS servers. Three tolerate the loss of one; two would not. */
  servers: z.union([z.literal(1), z.literal(3)]).default(1),
  size: bytes.default('1Gi'),
  storageClass: label.optional(),
  resources: resources({ cpu: '100m', memory: '64Mi', limit: '512Mi' }),
});

const kafkaTopic = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,249}$/, 'expected letters, digits, dots, dashes and underscores'),
  /** Number of partitions. The guide's clients read only partition 0, and messages are ordered only within a partition. */
  partitions: z.int().min(1).max(1000).default(1),
});

/** A host name or an address, without a port. */
const host = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'expected a host name or an address');

const kafka = z.strictObject({
  /** Number of brokers. Three tolerate the loss of one; two would not. */
  brokers: z.union([z.literal(1), z.literal(3)]).default(1),
  size: bytes.default('10Gi'),
  /** Storage class. Kafka replicates data itself, so use local-path, or another class without replication. */
  storageClass: label.optional(),
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+$/)
    .default('4.3.1'),
  topics: z
    .array(kafkaTopic)
    .min(1)
    .default([
      { name: 'aiot.telemetry', partitions: 1 },
      { name: 'aiot.events', partitions: 1 },
      { name: 'shaded-pole-motor-sensor_data', partitions: 1 },
      { name: 'control-message', partitions: 1 },
      { name: 'motor-anomaly-level1-inference', partitions: 1 },
      { name: 'motor-failure-alert-level2-inference', partitions: 1 },
    ]),
  /** Ports for clients outside the cluster: the bootstrap port, and one for each broker. `false` = no external access. */
  outside: orNone(
    z.strictObject({
      bootstrap: nodePort.default(32199),
      brokers: z.array(nodePort).default([32200, 32201, 32202]),
      /** The host to which clients are directed; absent = the node's own address. */
      host: host.optional(),
    }),
  ).prefault({}),
  resources: resources({ cpu: '250m', memory: '1Gi', limit: '2Gi' }),
});

const simple = z.strictObject({ size: bytes.default('1Gi'), storageClass: label.optional() });

/** A word of a command line or of a value, on a single line. */
const word = z
  .string()
  .max(2000)
  .regex(/^[^\p{Cc}]*$/u, 'expected text without control characters');

const argo = z.strictObject({
  /** Odd number of replicas of Argo Events' event bus (JetStream). */
  bus: z.union([z.literal(1), z.literal(3), z.literal(5)]).default(3),
  busSize: bytes.default('1Gi'),
  /** Name of the WorkflowTemplate that the triggers start. */
  workflow: label.default('pipeline'),
  /** URL of Argo's server, for `aiot pipeline run --engine argo`. */
  server: z
    .url({ protocol: /^https?$/, error: 'expected a URL such as https://argo.internal:2746' })
    .optional(),
  /** PEM file of the server's CA, absolute or relative to this file's folder. */
  ca: word.optional(),
  /** Topics on MQTT and Kafka whose control messages start the workflow. */
  commands: z
    .array(z.string().regex(/^[\w-]+$/))
    .min(1)
    .default(['extract-data', 'train-model']),
  webhook: z.boolean().default(true),
});

/** Name of an environment variable. */
const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'expected uppercase letters, digits and underscores');

/** Key of a node's label or taint. Its prefix must not be reserved by Kubernetes. */
const nodeKey = z
  .string()
  .regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/, 'expected a key such as example.org/role');

const service = z.strictObject({
  /** Arguments of `aiot`. */
  run: z.array(word).min(1),
  env: z.record(variable, z.union([word, z.number().transform(String)])).default({}),
  /** Names of variables whose values come from secrets. */
  secrets: z.array(variable).default([]),
  /** Whether the service uses the platform. If so, it gets a context as a secret. */
  context: z.boolean().default(false),
  /** Whether the service gets a client certificate from the motion system's CA. The certificate contains the client's name. */
  certificate: z.boolean().default(false),
  ports: z
    .array(
      z.strictObject({
        name: label,
        port,
        nodePort: nodePort.optional(),
        /** Without a node port, only clients in the namespace can connect. */
      }),
    )
    .default([]),
  /** Project files that the service reads. They are mounted in /project. */
  files: z
    .array(z.string().regex(/^[\w][\w.-]*(\/[\w][\w.-]*)*$/, 'expected a path below the project'))
    .default([]),
  /** Size of the service's persistent data in /project/data. */
  size: bytes.optional(),
  storageClass: label.optional(),
  /** Kind of accelerator that the service needs, such as coral. A device plugin provides it. */
  accelerator: label.optional(),
  /** Port of the health page /healthz. */
  health: port.optional(),
  nodeSelector: z.record(nodeKey, word).default({}),
  /** Other services to which this service connects, each as NAME:PORT. */
  talksTo: z.array(z.string().regex(/^[a-z0-9-]+:\d{1,5}$/, 'expected SERVICE:PORT')).default([]),
  /** Ports outside the cluster to which the service may connect. */
  outside: z.array(port).default([]),
  resources: resources({ cpu: '100m', memory: '192Mi', limit: '512Mi' }),
});

export type ServiceValues = z.output<typeof service>;

/** A kind of accelerator: the resource name of its device plugin, and the label of its nodes. */
const accelerator = z.strictObject({
  resource: z.string().regex(/^[a-z0-9.-]+\/[a-z0-9.-]+$/, 'expected a resource such as squat.ai/edgetpu'),
  label: z.strictObject({ key: nodeKey, value: word }),
  /** Whether a taint keeps other pods off its nodes. */
  taint: z.boolean().default(true),
  runtimeClass: label.optional(),
});

const usualAccelerators = {
  coral: { resource: 'squat.ai/edgetpu', label: { key: 'accelerator', value: 'coral' }, taint: true },
  nvidia: {
    resource: 'nvidia.com/gpu',
    label: { key: 'accelerator', value: 'nvidia' },
    taint: true,
    runtimeClass: 'nvidia',
  },
};

const node = z.strictObject({
  name: label,
  role: z.enum(['server', 'agent']),
  /** Address of the node, for TLS and for connections from other nodes. */
  address: host.optional(),
  arch: z.enum(['amd64', 'arm64']).default('arm64'),
  pi: z.boolean().default(false),
  labels: z.record(nodeKey, word).default({}),
  accelerator: label.optional(),
});

const nodes = z.strictObject({
  version: z
    .string()
    .regex(/^v\d+\.\d+\.\d+\+k3s\d+$/, 'expected a version such as v1.37.1+k3s1')
    .default('v1.37.1+k3s1'),
  list: z
    .array(node)
    .min(1)
    .default([
      { name: 'server-1', role: 'server', arch: 'arm64', pi: true, labels: {} },
      { name: 'agent-1', role: 'agent', arch: 'arm64', pi: true, labels: {} },
      { name: 'agent-2', role: 'agent', arch: 'arm64', pi: true, labels: {}, accelerator: 'coral' },
    ]),
  /** HOST:PORT of a registry in the local network. It is used without TLS, unless `ca` is the path of a file on each node. */
  registry: z
    .strictObject({ host: z.string().regex(/^[\w.-]+:\d+$/), ca: z.string().startsWith('/').optional() })
    .optional(),
  /** Addresses from which operators may connect, to port 6443 and by SSH. */
  operators: z
    .array(z.string().regex(/^[\d.]+(\/\d{1,2})?$|^[0-9a-f:]+(\/\d{1,3})?$/i))
    .default(['192.168.0.0/16']),
  /** Whether no node can reach the internet, so that nothing may be downloaded. */
  airGap: z.boolean().default(false),
});

const cloudInit = z.strictObject({
  /** URL of aiot's npm tarball, which the machine downloads. */
  package: z
    .url({ protocol: /^https$/, error: 'expected an https address of aiot-VERSION.tgz' })
    // The URL also appears in the README, and URL parsers tolerate line breaks.
    .regex(/^[^\s`\p{C}]+$/u, 'expected an address without spaces, line breaks or backquotes')
    .default('https://files.internal/aiot.tgz'),
  /** SHA-256 of the tarball, which is verified after the download. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
    .optional(),
  /** SSH keys that are allowed to log in. */
  keys: z
    .array(
      z
        .string()
        .regex(
          /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-[\w@.-]+) [A-Za-z0-9+/=]+( [^\p{Cc}]*)?$/u,
          'expected a public key as in ~/.ssh/id_ed25519.pub',
        ),
    )
    .default([]),
  user: label.default('operator'),
  /** Whether to request a certificate for `host` from an ACME authority; `false` = use only the platform's own CA. */
  acme: orNone(z.strictObject({ email: z.email() })).default(false),
});

/** Settings of systemd units; `package` is the folder into which npm installs aiot. */
const systemd = z.strictObject({
  node: z.string().startsWith('/').default('/usr/bin/node'),
  package: z.string().startsWith('/').default('/usr/lib/node_modules/aiot'),
  /** Folder of the project on the machine. */
  project: z.string().startsWith('/').default('/srv/aiot'),
  memory: z
    .string()
    .regex(/^\d+[KMGT]$/, 'expected a size such as 1G')
    .default('1G'),
});

const argocd = z.strictObject({
  repository: z.url().default('https://git.internal/fleet.git'),
  path: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)*$/)
    .default('deploy/k3s'),
  revision: z
    .string()
    .regex(/^[\w./-]+$/)
    .default('main'),
  project: label.default('default'),
});

/**
 * Schema of deploy.yaml, which contains all settings that differ between installations. Missing values are derived from aiot.yaml, or get
 * the defaults below.
 */
export const valuesSchema = z.strictObject({
  name: label.optional(),
  namespace: label.optional(),
  /** Names and addresses of the installation. The first one is used in URLs. */
  hosts: z.array(host).min(1).optional(),
  /** The image that is built from Dockerfile. By default, it is in a private registry. */
  image: image.optional(),
  pullSecret: label.optional(),
  images,
  arch: z
    .array(z.enum(['amd64', 'arm64']))
    .min(1)
    .default(['amd64', 'arm64']),
  storageClass: label.default('local-path'),
  platform: orNone(platform).prefault({}),
  database: orNone(database).prefault({}),
  objects: orNone(objects).prefault({}),
  broker: orNone(broker).prefault({}),
  kafka: orNone(kafka).optional(),
  nats: orNone(simple).optional(),
  redis: orNone(simple).optional(),
  argo: orNone(argo).optional(),
  backup: orNone(backup).default(false),
  ingress: z.boolean().default(true),
  monitoring: z.boolean().default(false),
  services: z.record(label, service).default({}),
  /** Accelerators in addition to the built-in kinds coral and nvidia. */
  accelerators: z
    .record(label, accelerator)
    .default({})
    .transform((given): Record<string, z.output<typeof accelerator>> => ({ ...usualAccelerators, ...given })),
  nodes: nodes.prefault({}),
  systemd: systemd.prefault({}),
  cloudInit: cloudInit.prefault({}),
  argocd: argocd.prefault({}),
});

export type Given = z.output<typeof valuesSchema>;

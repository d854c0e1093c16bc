import { isIP } from 'node:net';
import { stringify } from 'yaml';
import { largeFilesText } from '../argo-template.js';
import { secretsOf, secretsScript } from '../secrets.js';
import { fillTemplate, fillText, type Scope, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderedPipeline, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { valuesSchema } from '../values-schema.js';
import { garageCapacity, garageFiles } from './garage.js';
import {
  type Affinity,
  affinityApart,
  affinityOf,
  failover,
  folders,
  limitsOf,
  platformVariables,
  said,
  secret,
  secure,
  stateVariables,
} from './k3s-environment.js';
import { argoScope, bootstrapOf, isSecured, kafkaScope } from './k3s-kafka.js';
import { brokerPort, policiesOf } from './k3s-network.js';
import { keyOf, servicesScope } from './k3s-services.js';
import { mosquittoFiles } from './mosquitto.js';
import { hasNatsBroker, natsBrokerFiles, natsBrokerScope } from './nats-broker.js';

interface Part {
  file: string;
  /** Name of the template, if several engines render the same file. */
  template?: string;
  about: string;
  there: (values: Values) => boolean;
  /** Returns the files in the part's ConfigMap. */
  config?: (values: Values) => [name: string, text: string][];
}

const parts: readonly Part[] = [
  { file: 'namespace', about: "namespace with Pod Security's restricted profile", there: () => true },
  { file: 'network', about: 'network policies', there: () => true },
  {
    file: 'tls',
    about: "the cluster's CA and its certificates (cert-manager)",
    there: () => true,
  },
  { file: 'platform', about: 'the platform', there: ({ platform }) => platform !== false },
  {
    file: 'ingress',
    about: 'the API at port 443',
    there: ({ platform, ingress }) => platform !== false && ingress,
  },
  { file: 'database', about: 'PostgreSQL', there: ({ database }) => database !== false },
  {
    file: 'objects',
    about: 'Garage, for S3',
    there: ({ objects }) => objects !== false && objects.endpoint === undefined,
    config: garageFiles,
  },
  {
    file: 'broker',
    about: 'Mosquitto, for devices',
    there: ({ broker }) => broker !== false && broker.engine === 'mosquitto',
    config: mosquittoFiles,
  },
  {
    file: 'broker',
    template: 'broker-nats',
    about: 'NATS, for devices',
    there: hasNatsBroker,
    config: natsBrokerFiles,
  },
  { file: 'kafka', about: 'Kafka: nodes, topics, users (Strimzi)', there: ({ kafka }) => kafka !== false },
  {
    file: 'nats',
    about: 'NATS with JetStream',
    there: ({ nats }) => nats !== false,
    config: () => [['nats.conf', templateText('k3s/nats/nats.conf')]],
  },
  {
    file: 'redis',
    about: 'Redis',
    there: ({ redis }) => redis !== false,
    config: () => [['redis.conf', templateText('k3s/redis/redis.conf')]],
  },
  { file: 'backup', about: 'daily backups on a volume', there: ({ backup }) => backup !== false },
  { file: 'argo', about: 'triggers of the pipeline (Argo)', there: ({ argo }) => argo !== false },
  {
    file: 'services',
    about: "the project's own processes",
    there: ({ services }) => Object.keys(services).length > 0,
  },
];

const yaml = (value: object) => stringify(value, { version: '1.1', lineWidth: 0 });
const kustomize = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' };

/** A K3s cluster: a Kustomize base, components for optional parts, and secrets in a separate folder. */
export const k3sTarget: DeployTarget = {
  name: 'k3s',
  about: 'A K3s cluster (Kustomize): platform, PostgreSQL, S3, MQTT, Kafka, Argo.',
  next: 'sh secrets.sh',
  usual: (project) => {
    const { kafka, nats, argo } = valuesSchema.parse({ kafka: {}, nats: {}, argo: {} });
    const motion = project?.config.signal?.features === 'motion';
    return {
      kafka: kafka ?? false,
      nats: motion ? (nats ?? false) : false,
      redis: motion ? (nats ?? false) : false,
      argo: argo ?? false,
    };
  },
  render(input: RenderInput): RenderedFile[] {
    const { values, pipeline } = input;
    const scope = scopeOf(values, pipeline !== null);
    const there = parts.filter((part) => part.there(values));
    return [
      { path: 'README.md', text: readme(values, pipeline), about: 'instructions for these files' },
      { path: 'secrets.sh', text: secretsScript(filesOf(values)), about: 'creates the secrets locally' },
      {
        path: '.gitignore',
        text: 'secrets/*.env\nsecrets/*.conf\nsecrets/*.part\n',
        about: 'keeps secrets out of a repository',
      },
      {
        path: 'secrets/kustomization.yaml',
        text: secretsKustomization(values),
        about: 'secrets as objects, from local files',
      },
      { path: 'kustomization.yaml', text: topKustomization(values), about: 'everything except the secrets' },
      { path: 'base/kustomization.yaml', text: baseKustomization(input, there), about: 'common parts' },
      ...there.map(({ file, template = file, about }) => ({
        path: `base/${file}.yaml`,
        text: fillTemplate(templateText(`k3s/${template}.yaml`), scope),
        about,
      })),
      ...there.flatMap((part) => configFiles(part, values)),
      ...(pipeline?.files ?? []).map((file) => ({ ...file, path: `base/${file.path}` })),
      ...projectFiles(input),
      ...restoreFiles(values, scope),
      ...(values.platform === false
        ? []
        : [
            {
              path: 'components/monitoring/kustomization.yaml',
              text: yaml({
                apiVersion: 'kustomize.config.k8s.io/v1alpha1',
                kind: 'Component',
                resources: ['service-monitor.yaml'],
              }),
              about: 'for the Prometheus operator',
            },
            {
              path: 'components/monitoring/service-monitor.yaml',
              text: fillTemplate(templateText('k3s/monitoring.yaml'), scope),
              about: 'what Prometheus scrapes from the platform',
            },
          ]),
    ];
  },
};

/** The Job that restores a backup. It is a Kustomization of its own, because it runs once. */
function restoreFiles({ namespace, backup }: Values, scope: Scope): RenderedFile[] {
  if (backup === false || backup.restore === undefined) return [];
  return [
    {
      path: 'restore/kustomization.yaml',
      text: yaml({ ...kustomize, namespace, resources: ['job.yaml'] }),
      about: `restores ${backup.restore}`,
    },
    {
      path: 'restore/job.yaml',
      text: fillTemplate(templateText('k3s/restore.yaml'), scope),
      about: 'the Job that restores it',
    },
  ];
}

function configFiles({ file, config }: Part, values: Values): RenderedFile[] {
  return (config?.(values) ?? []).map(([name, text]) => ({
    ...{ path: `base/${file}/${name}`, text, about: `of ${file}` },
  }));
}

function projectFiles({ values, files }: RenderInput): RenderedFile[] {
  const read = new Set(Object.values(values.services).flatMap((service) => service.files));
  return [...read].sort().map((path) => ({
    path: `base/project/${path}`,
    text: files.get(path) ?? '',
    about: 'a file of the project',
  }));
}

function topKustomization({ monitoring, platform }: Values): string {
  return yaml({
    ...kustomize,
    resources: ['base'],
    components: monitoring && platform ? ['components/monitoring'] : [],
  });
}

function baseKustomization({ values, pipeline }: RenderInput, there: readonly Part[]): string {
  const { name, namespace, services } = values;
  const generated = [
    ...there.flatMap((part) => {
      const files = configFiles(part, values).map(({ path }) => path.slice('base/'.length));
      return files.length === 0 ? [] : [{ name: part.file, files }];
    }),
    ...Object.entries(services)
      .filter(([, { files }]) => files.length > 0)
      .map(([service, { files }]) => ({
        name: `${service}-files`,
        files: files.map((file) => `${keyOf(file)}=project/${file}`),
      })),
  ];
  return yaml({
    ...kustomize,
    namespace,
    labels: [{ pairs: { 'app.kubernetes.io/part-of': name, 'app.kubernetes.io/managed-by': 'aiot' } }],
    resources: [
      ...there.map(({ file }) => `${file}.yaml`),
      ...(pipeline?.files ?? []).map(({ path }) => path),
    ],
    ...(generated.length === 0 ? {} : { configMapGenerator: generated }),
  });
}

const fileOf = ({ name, form }: { name: string; form: string }) =>
  form === 'nats' || form === 'redis' ? `${name}.conf` : `${name}.env`;

const filesOf = (values: Values) =>
  secretsOf(values).map((secret) => ({ file: fileOf(secret), form: secret.form, values: secret.values }));

function secretsKustomization(values: Values): string {
  return yaml({
    ...kustomize,
    namespace: values.namespace,
    // The secrets' names get no suffix, because Kustomize does not recognize all references to them.
    generatorOptions: { disableNameSuffixHash: true },
    secretGenerator: secretsOf(values).map((secret) => ({
      name: secret.name,
      ...(secret.form === 'env' ? { envs: [fileOf(secret)] } : { files: [fileOf(secret)] }),
    })),
  });
}

/**
 * The values to which the templates in templates/deploy/k3s refer. @param pipeline whether the files include the project's
 * pipeline
 */
function scopeOf(values: Values, pipeline: boolean): Scope {
  const { name, namespace, host, image, images, pullSecret, storageClass, nats, redis } = values;
  const kafka = kafkaScope(values);
  const kept = <Part extends { storageClass?: string | undefined }>(part: Part) => ({
    ...part,
    storageClass: part.storageClass ?? storageClass,
  });
  const small = limitsOf({ cpu: '50m', memory: '64Mi', limit: '256Mi' });
  const affinity = affinityOf(values);
  return {
    ...{ name, namespace, host, image, images, storageClass, secure, failover, kafka },
    pullSecrets: pullSecret === null ? null : [{ name: pullSecret }],
    affinity,
    platform: platformScope(values, kafka ? kafka.bootstrap : null),
    database: values.database && { ...kept(values.database), ...databaseScope(values.database, affinity) },
    objects: values.objects && { ...kept(values.objects), ...objectsScope(values.objects, affinity) },
    broker: values.broker
      ? {
          ...kept(values.broker),
          limits: limitsOf(values.broker.resources),
          // Its pki container would create a CA in the empty database, and would keep it after the restore.
          replicas: restores(values) ? 0 : values.broker.servers,
          mqttPort: values.platform ? values.platform.mqttPort : 8883,
          inside: brokerPort(values),
          pki: values.platform !== false,
          alone: values.platform === false,
          ...natsBrokerScope(values.broker, affinity),
          ...namesOf(values, ['broker', `broker.${namespace}.svc`]),
          pkiEnv: [
            ...folders,
            said('AIOT_PUBLIC', [...values.hosts, 'broker'].join(',')),
            ...stateVariables(values),
          ],
          // The pki container reads all devices, as the platform does.
          pkiLimits:
            values.platform && limitsOf({ ...values.platform.resources, cpu: '20m', memory: '128Mi' }),
        }
      : { alone: false, there: false, routed: false },
    backup: values.backup && { ...kept(values.backup), ...backupScope(values, values.backup) },
    nats: nats && { ...kept(nats), limits: limitsOf({ cpu: '50m', memory: '64Mi', limit: '384Mi' }) },
    redis: redis && { ...kept(redis), limits: small },
    argo: argoScope(values, pipeline),
    policies: policiesOf(values),
    ...servicesScope(values),
  };
}

/** The plugin of CloudNativePG that stores backups. */
const barman = 'barman-cloud.cloudnative-pg.io';

/** Values of base/database.yaml: a StatefulSet, or a cluster of CloudNativePG. */
function databaseScope(database: Exclude<Values['database'], false>, { nodeAffinity }: Affinity) {
  const { instances, backups, restore, resources } = database;
  const owner = { database: 'aiot', owner: 'aiot', secret: { name: 'database' } };
  const plugin = (serverName: string) => ({
    name: barman,
    parameters: { barmanObjectName: 'database', serverName },
  });
  const [hours, minutes] = (backups?.at ?? '03:00').split(':').map(Number);
  return {
    alone: instances === 1,
    several: instances > 1,
    nodeAffinity,
    limits: limitsOf(resources),
    bootstrap: restore
      ? {
          recovery: {
            source: 'restored',
            ...owner,
            ...(restore.until === undefined ? {} : { recoveryTarget: { targetTime: restore.until } }),
          },
        }
      : { initdb: { ...owner, encoding: 'UTF8', dataChecksums: true } },
    external: restore ? [{ name: 'restored', plugin: plugin(restore.from) }] : null,
    plugins: backups ? [{ ...plugin(backups.name), isWALArchiver: true }] : null,
    backups: backups && {
      ...backups,
      endpoint: backups.endpoint ?? null,
      schedule: `0 ${minutes} ${hours} * * *`,
    },
  };
}

/** Values of base/backup.yaml and restore/job.yaml. */
function backupScope(values: Values, { at, restore }: Exclude<Values['backup'], false>) {
  const [hours, minutes] = at.split(':').map(Number);
  const passphrase = secret('AIOT_BACKUP_PASSPHRASE', 'backup', 'passphrase');
  const ownFolders = folders.map((each) =>
    each.name === 'AIOT_CONFIG_DIR' ? said('AIOT_CONFIG_DIR', '/context') : each,
  );
  return {
    restore: restore ?? null,
    schedule: `${minutes} ${hours} * * *`,
    env: [
      ...ownFolders,
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      passphrase,
    ],
    restoreEnv: [...folders, ...stateVariables(values), passphrase],
    limits: limitsOf({ cpu: '100m', memory: '256Mi', limit: '1Gi' }),
    pruneLimits: limitsOf({ cpu: '10m', memory: '64Mi', limit: '128Mi' }),
  };
}

/** Values of base/objects.yaml. */
function objectsScope(objects: Exclude<Values['objects'], false>, { nodeAffinity }: Affinity) {
  const { servers, resources } = objects;
  const several = servers > 1;
  return {
    several,
    nodes: Array.from({ length: servers }, (_, index) => `objects-${index}.objects-nodes`).join(','),
    capacity: garageCapacity(objects),
    affinity: several ? affinityApart({ nodeAffinity }, 'objects') : { nodeAffinity },
    limits: limitsOf(resources),
    setupLimits: limitsOf({ cpu: '10m', memory: '64Mi', limit: '128Mi' }),
  };
}

/** Names and addresses for a certificate. */
function namesOf({ hosts }: Values, more: string[]) {
  const addresses = hosts.filter((each) => isIP(each) !== 0);
  return {
    dnsNames: [...hosts.filter((each) => isIP(each) === 0), ...more],
    addresses: addresses.length === 0 ? null : addresses,
  };
}

const doors = ['guide-mqtt', 'guide-devices', 'guide-models', 'guide-data'] as const;

function platformScope(values: Values, bootstrap: string | null) {
  const { platform, namespace, broker } = values;
  if (!platform) return false;
  const guide = platform.compat !== undefined;
  return {
    ...platform,
    guide,
    /** Whether devices connect to the platform's own broker. */
    brokers: !broker,
    ...namesOf(values, [`platform.${namespace}.svc`]),
    env: platformVariables(values, bootstrap),
    replicas: replicasOf(values, platform),
    least: platform.replicas,
    autoscale: platform.autoscale ?? false,
    /** With NATS, the platform must trust the certificate that NATS shows to devices. */
    trusts: hasNatsBroker(values),
    pkiEnv: [...folders, said('AIOT_PUBLIC', 'platform'), ...stateVariables(values)],
    limits: limitsOf(platform.resources),
    guidePorts: guide
      ? doors.map((name, index) => ({
          name,
          port: platform.compatPorts[index],
          nodePort: platform.compatPorts[index],
        }))
      : [],
    // A process that uses a volume must end before its replacement starts.
    strategy: guide
      ? { type: 'Recreate' }
      : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
  };
}

const restores = ({ backup }: Values) => backup !== false && backup.restore !== undefined;

/** No replica may write while a backup is restored. The number of an autoscaled platform is not part of the files. */
function replicasOf(values: Values, platform: Exclude<Values['platform'], false>): number | null {
  if (restores(values)) return 0;
  return platform.autoscale ? null : platform.replicas;
}

/** README with instructions for the files, in order of use. */
function readme(values: Values, pipeline: RenderedPipeline | null): string {
  const {
    name,
    namespace,
    host,
    image,
    platform,
    database,
    objects,
    kafka,
    argo,
    broker,
    services,
    storageClass,
  } = values;
  const needs = [
    'cert-manager 1.18 or newer',
    ...(kafka ? ['Strimzi 1.0 or newer, which watches this namespace'] : []),
    ...(argo ? ['Argo Workflows 3.6 or newer, and Argo Events 1.9'] : []),
    ...(database && database.instances > 1 ? ['CloudNativePG 1.28 or newer'] : []),
    ...(database !== false && database.backups ? ['its plugin Barman Cloud'] : []),
    ...(storageClass === 'local-path' ? [] : [`the storage class \`${storageClass}\``]),
  ];
  const outside = kafka !== false && kafka.outside;
  const ports = outside ? [outside.bootstrap, ...outside.brokers.slice(0, kafka.brokers)] : [];
  return fillText(templateText('k3s/readme.txt'), {
    ...{ name, namespace, host, image, platform },
    mosquitto: broker !== false && broker.engine === 'mosquitto',
    natsBroker: hasNatsBroker(values),
    autoscale: platform !== false && platform.autoscale !== undefined,
    // The adapter's own notation, which the template must not fill in.
    query: '<<.Series>>{<<.LabelMatchers>>}',
    needs: needs.join('; '),
    firstHost: values.hosts[0],
    freeCompatPorts: platform && platform.compat !== undefined ? ' --compat-ports 0,0,0,0' : '',
    httpsPort: platform && platform.port !== 443 ? `:${platform.port}` : '',
    contexts: [
      ...Object.entries(services).flatMap(([service, { context }]) => (context ? [service] : [])),
      ...(values.backup ? ['backup'] : []),
    ],
    backup: values.backup !== false,
    restore: restores(values),
    pipeline: pipeline !== null,
    workflow: argo ? argo.workflow : '',
    largeFiles: pipeline ? largeFilesText(pipeline.large) : '',
    places: placesOf(values).join('\n'),
    secured: isSecured(values),
    outside: outside && { ports: ports.join(' and ') },
    backups: database !== false && database.backups !== undefined,
    single: database !== false && database.instances === 1,
    several: database !== false && database.instances > 1,
    externalDatabase: database === false,
    garage: objects !== false && objects.endpoint === undefined,
  });
}

function brokerName({ broker }: Values): string {
  if (broker === false) return 'the platform';
  return broker.engine === 'nats' ? 'NATS' : 'Mosquitto';
}

/** Rows of the README's table of addresses. */
function placesOf(values: Values): string[] {
  const { platform, kafka, services } = values;
  const place = (what: string, where: string) => `| ${what} | ${where} |`;
  const onEach = (what: string, ports: string) => place(what, `each node, ${ports}`);
  return [
    ...(platform
      ? [
          onEach('API', `port ${platform.port}`),
          onEach('MQTT for devices', `port ${platform.mqttPort} (${brokerName(values)})`),
          ...(platform.compat
            ? [onEach("the guide's services", `ports ${platform.compatPorts.join(', ')}`)]
            : []),
        ]
      : []),
    ...(kafka ? [place('Kafka, inside', bootstrapOf(values)!)] : []),
    ...(kafka !== false && kafka.outside
      ? [
          onEach(
            'Kafka, outside',
            `ports ${kafka.outside.bootstrap} and ${kafka.outside.brokers.slice(0, kafka.brokers).join(', ')}`,
          ),
        ]
      : []),
    ...Object.entries(services).flatMap(([name, { ports }]) =>
      ports.map(({ port, nodePort }) =>
        nodePort === undefined ? place(name, `inside, port ${port}`) : onEach(name, `port ${nodePort}`),
      ),
    ),
  ];
}

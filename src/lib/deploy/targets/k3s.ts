import { isIP } from 'node:net';
import { stringify } from 'yaml';
import { largeFilesText } from '../argo-template.js';
import { secretsOf, secretsScript } from '../secrets.js';
import { fillTemplate, type Scope, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderedPipeline, RenderInput } from '../types.js';
import type { Values } from '../values.js';
import { valuesSchema } from '../values-schema.js';
import {
  failover,
  folders,
  limitsOf,
  platformVariables,
  said,
  secure,
  stateVariables,
} from './k3s-environment.js';
import { argoScope, bootstrapOf, isSecured, kafkaScope } from './k3s-kafka.js';
import { brokerPort, policiesOf } from './k3s-network.js';
import { keyOf, servicesScope } from './k3s-services.js';
import { mosquittoFiles } from './mosquitto.js';

interface Part {
  file: string;
  about: string;
  there: (values: Values) => boolean;
  /** What becomes its ConfigMap. */
  config?: (values: Values) => [name: string, text: string][];
}

const parts: readonly Part[] = [
  { file: 'namespace', about: 'the namespace, held to Pod Security’s restricted profile', there: () => true },
  { file: 'network', about: 'who may talk to whom', there: () => true },
  {
    file: 'tls',
    about: 'a CA of the cluster’s own, and certificates by it (cert-manager)',
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
    about: 'MinIO',
    there: ({ objects }) => objects !== false && objects.endpoint === undefined,
  },
  {
    file: 'broker',
    about: 'Mosquitto, for devices',
    there: ({ broker }) => broker !== false,
    config: mosquittoFiles,
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
  { file: 'argo', about: 'what starts the pipeline (Argo)', there: ({ argo }) => argo !== false },
  {
    file: 'services',
    about: 'the project’s own processes',
    there: ({ services }) => Object.keys(services).length > 0,
  },
];

const yaml = (value: object) => stringify(value, { version: '1.1', lineWidth: 0 });
const kustomize = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' };

/** A K3S cluster: Kustomize's base, components of what not everybody has, and secrets apart. */
export const k3sTarget: DeployTarget = {
  name: 'k3s',
  about: 'A K3S cluster (Kustomize): platform, PostgreSQL, S3, MQTT, Kafka, Argo.',
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
      { path: 'README.md', text: readme(values, pipeline), about: 'what to do with these files' },
      { path: 'secrets.sh', text: secretsScript(filesOf(values)), about: 'makes the secrets, here' },
      {
        path: '.gitignore',
        text: 'secrets/*.env\nsecrets/*.conf\nsecrets/*.part\n',
        about: 'keeps them out of a repository',
      },
      {
        path: 'secrets/kustomization.yaml',
        text: secretsKustomization(values),
        about: 'the secrets as objects, from files that are made here',
      },
      { path: 'kustomization.yaml', text: topKustomization(values), about: 'all of it but the secrets' },
      { path: 'base/kustomization.yaml', text: baseKustomization(input, there), about: 'what everybody has' },
      ...there.map(({ file, about }) => ({
        path: `base/${file}.yaml`,
        text: fillTemplate(templateText(`k3s/${file}.yaml`), scope),
        about,
      })),
      ...there.flatMap((part) => configFiles(part, values)),
      ...(pipeline?.files ?? []).map((file) => ({ ...file, path: `base/${file.path}` })),
      ...projectFiles(input),
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
              about: 'for who has the Prometheus operator',
            },
            {
              path: 'components/monitoring/service-monitor.yaml',
              text: fillTemplate(templateText('k3s/monitoring.yaml'), scope),
              about: 'what Prometheus asks the platform',
            },
          ]),
    ];
  },
};

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
    about: 'of the project',
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
    // Objects that Kustomize does not know name them: they keep their names.
    generatorOptions: { disableNameSuffixHash: true },
    secretGenerator: secretsOf(values).map((secret) => ({
      name: secret.name,
      ...(secret.form === 'env' ? { envs: [fileOf(secret)] } : { files: [fileOf(secret)] }),
    })),
  });
}

/** All that the templates of templates/deploy/k3s name. @param pipeline whether the project's own is among the files */
function scopeOf(values: Values, pipeline: boolean): Scope {
  const { name, namespace, host, image, images, pullSecret, storageClass, nats, redis } = values;
  const kafka = kafkaScope(values);
  const kept = <Part extends { storageClass?: string | undefined }>(part: Part) => ({
    ...part,
    storageClass: part.storageClass ?? storageClass,
  });
  const small = limitsOf({ cpu: '50m', memory: '64Mi', limit: '256Mi' });
  return {
    ...{ name, namespace, host, image, images, storageClass, secure, failover, kafka },
    pullSecrets: pullSecret === null ? null : [{ name: pullSecret }],
    affinity: affinityOf(values),
    platform: platformScope(values, kafka ? kafka.bootstrap : null),
    database: values.database && { ...kept(values.database), limits: limitsOf(values.database.resources) },
    objects: values.objects && { ...kept(values.objects), limits: limitsOf(values.objects.resources) },
    broker: values.broker
      ? {
          ...kept(values.broker),
          limits: limitsOf(values.broker.resources),
          mqttPort: values.platform ? values.platform.mqttPort : 8883,
          inside: brokerPort(values),
          pki: values.platform !== false,
          alone: values.platform === false,
          ...namesOf(values, ['broker', `broker.${namespace}.svc`]),
          pkiEnv: [
            ...folders,
            said('AIOT_PUBLIC', [...values.hosts, 'broker'].join(',')),
            ...stateVariables(values),
          ],
          pkiLimits: limitsOf({ cpu: '20m', memory: '128Mi', limit: '384Mi' }),
        }
      : { alone: false, there: false },
    nats: nats && { ...kept(nats), limits: limitsOf({ cpu: '50m', memory: '64Mi', limit: '384Mi' }) },
    redis: redis && { ...kept(redis), limits: small },
    argo: argoScope(values, pipeline),
    policies: policiesOf(values),
    ...servicesScope(values),
  };
}

/** Names and addresses of a certificate. */
function namesOf({ hosts }: Values, more: string[]) {
  const addresses = hosts.filter((each) => isIP(each) !== 0);
  return {
    dnsNames: [...hosts.filter((each) => isIP(each) === 0), ...more],
    addresses: addresses.length === 0 ? null : addresses,
  };
}

/** Images have these architectures; a node of another one would pull and fail. */
const affinityOf = ({ arch }: Values) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [
        { matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'In', values: arch }] },
      ],
    },
  },
});

const doors = ['guide-mqtt', 'guide-devices', 'guide-models', 'guide-data'] as const;

function platformScope(values: Values, bootstrap: string | null) {
  const { platform, namespace, broker } = values;
  if (!platform) return false;
  const guide = platform.compat !== undefined;
  return {
    ...platform,
    guide,
    /** Its own, which devices come to. */
    brokers: !broker,
    ...namesOf(values, [`platform.${namespace}.svc`]),
    env: platformVariables(values, bootstrap),
    limits: limitsOf(platform.resources),
    guidePorts: guide
      ? doors.map((name, index) => ({
          name,
          port: platform.compatPorts[index],
          nodePort: platform.compatPorts[index],
        }))
      : [],
    // One that has a volume ends before the next one begins.
    strategy: guide
      ? { type: 'Recreate' }
      : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
  };
}

const revokedNote =
  '- A device that is revoked is refused by Mosquitto at its next connection; `kubectl rollout restart statefulset/broker` cuts those that are open.\n';

const outsideOf = ({ kafka }: Values) => (kafka ? kafka.outside : false);

/** What to do with the files, in the order of doing it. */
function readme(values: Values, pipeline: RenderedPipeline | null): string {
  const { name, namespace, host, image, platform, kafka, argo, broker, services, storageClass } = values;
  const needs = [
    'cert-manager 1.18 or newer',
    ...(kafka ? ['Strimzi 1.0 or newer, which watches this namespace'] : []),
    ...(argo ? ['Argo Workflows 3.6 or newer, and Argo Events 1.9'] : []),
    ...(storageClass === 'local-path' ? [] : [`the storage class \`${storageClass}\``]),
  ];
  const contexts = Object.entries(services).filter(([, { context }]) => context);
  return `# ${name} on K3S

Rendered by \`aiot deploy render --target k3s\`. No file here holds a secret; \`secrets.sh\` makes them where you are.

The cluster needs ${needs.join('; ')}. The image \`${image}\` is what aiot's Dockerfile makes.

## Start

\`\`\`sh
sh secrets.sh                                        # secrets/*.env, mode 0600: keep a copy elsewhere
aiot deploy check .                                  # what would go wrong in the cluster
kubectl apply -f base/namespace.yaml
kubectl apply -k secrets
kubectl apply --server-side -k .
aiot deploy status .
\`\`\`

\`aiot deploy apply .\` does the four, says which first, and asks.
${platform ? firstToken(values) : ''}
${
  contexts.length > 0
    ? contextSection(
        contexts.map(([service]) => service),
        namespace,
      )
    : ''
}${pipeline ? pipelineSection(values, pipeline) : ''}## What is where

| | |
| --- | --- |
${rows(values).join('\n')}

## Secrets

- \`secrets/\` is a Kustomization of its own: a repository has its kustomization.yaml and no values (\`.gitignore\`). With Argo CD or Flux make the same objects by
  SealedSecrets (\`kubectl kustomize secrets | kubeseal\`) or ExternalSecrets, under the same names.
- \`platform\` seals the CA in the database: **without it the devices' CA is lost**. \`database\` and \`objects\` are PostgreSQL's and MinIO's.
${isSecured(values) ? '- Kafka’s passwords are made by Strimzi, certificates by cert-manager.\n' : ''}
## Good to know

- Between nodes the cluster's network is as secret as its backend makes it: \`aiot deploy render --target k3s-nodes\` writes \`flannel-backend: wireguard-native\`.
${outsideOf(values) ? kafkaNote(values) : ''}${broker ? revokedNote : ''}- \`components/monitoring\` needs the Prometheus operator and a viewer's token: \`kubectl -n ${namespace} create secret generic metrics --from-file=token=FILE\`, then \`monitoring: true\` in deploy.yaml.
- Rendered again, it changes what it has rendered, and refuses what you have edited. \`aiot deploy diff .\` shows both.
- People and programs: https://${host}${platform && platform.port !== 443 ? `:${platform.port}` : ''}; by that name the cluster's CA vouches, for devices the platform's own.
`;
}

const firstToken = ({ namespace, hosts, platform }: Values) => `
## The first token

The platform's log never shows it. One is made on your terminal, by a further process of the platform that you end with Ctrl-C:

\`\`\`sh
kubectl -n ${namespace} exec -it deploy/platform -- /nodejs/bin/node /app/bin/run.js up --new-token --data /tmp/first --http-port 0 --mqtt-port 0${(platform ? platform.compat : undefined) === undefined ? '' : ' --compat-ports 0,0,0,0'}
kubectl -n ${namespace} get secret platform-tls -o jsonpath='{.data.ca\\.crt}' | base64 -d >cluster-ca.crt
aiot context add ${namespace} --url https://${hosts[0]}:8443 --ca cluster-ca.crt --token-file -
\`\`\`
`;

const contextSection = (names: string[], namespace: string) => `## Contexts

These talk to a platform by a context of yours, with a token of their own (\`aiot token create NAME --role ROLE --user …\`):

\`\`\`sh
${names.map((name) => `kubectl -n ${namespace} create secret generic ${name}-context --from-file=contexts.json --from-file=ca.crt`).join('\n')}
\`\`\`

\`ca\` in that contexts.json is /context/ca.crt.

`;

const pipelineSection = ({ namespace, argo }: Values, { large }: RenderedPipeline) => `## The pipeline

It pushes models as a user of its own, whose contexts.json and signing key are one folder:

\`\`\`sh
kubectl -n ${namespace} create secret generic pipeline-context --from-file=CONFIG-FOLDER
aiot pipeline run --engine argo --argo-server https://ARGO:2746 --argo-token-file FILE   # or a control message, or: argo submit -n ${namespace} --from workflowtemplate/${argo ? argo.workflow : ''}
\`\`\`

${largeFilesText(large)}
`;

function rows(values: Values): string[] {
  const { platform, broker, kafka, services } = values;
  const told: string[] = [];
  if (platform) {
    told.push(`| API | each node, port ${platform.port} |`);
    told.push(
      `| MQTT for devices | each node, port ${platform.mqttPort} (${broker ? 'Mosquitto' : 'the platform'}) |`,
    );
    if (platform.compat)
      told.push(`| the guide's services | each node, ports ${platform.compatPorts.join(', ')} |`);
  }
  if (kafka) {
    told.push(`| Kafka, inside | ${bootstrapOf(values)} |`);
    if (kafka.outside) {
      const each = kafka.outside.brokers.slice(0, kafka.brokers).join(', ');
      told.push(`| Kafka, outside | each node, ports ${kafka.outside.bootstrap} and ${each} |`);
    }
  }
  for (const [name, { ports }] of Object.entries(services)) {
    for (const { port, nodePort } of ports) {
      told.push(
        `| ${name} | ${nodePort === undefined ? `inside, port ${port}` : `each node, port ${nodePort}`} |`,
      );
    }
  }
  return told;
}

function kafkaNote(values: Values): string {
  const { kafka } = values;
  const open = !isSecured(values);
  const outside = outsideOf(values);
  const ports = kafka && outside ? [outside.bootstrap, ...outside.brokers.slice(0, kafka.brokers)] : [];
  return `- Kafka from outside: open ports ${ports.join(' and ')} in the firewall; the first alone is not enough.${
    open
      ? ' The guide’s clients show no password, so whoever reaches these ports reads and writes all topics. Its oldest ones (sarama 1.20) speak a protocol that Kafka 4 refuses; the platform stands in for those.'
      : ' Clients show a user (KafkaUser) over TLS.'
  }\n`;
}

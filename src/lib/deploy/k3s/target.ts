import { stringify } from 'yaml';
import { mosquittoFiles } from '../mosquitto.js';
import { secretsOf, secretsScript } from '../secrets/index.js';
import { fillTemplate, templateText } from '../template/index.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { type Values, valuesSchema } from '../values/index.js';
import { readme } from './readme.js';
import { scopeOf } from './scope.js';
import { keyOf } from './services.js';

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

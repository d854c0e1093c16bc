import { at, type DeployFolder, type DeployObject, type Finding, finding, walk } from './objects.js';

/** API versions that were removed: the version, the kinds of objects affected, and the replacement. */
const removed: readonly [version: RegExp, kinds: RegExp, instead: string][] = [
  [/^kafka\.strimzi\.io\/v1(beta|alpha)\d$/, /./, 'Strimzi 1.0 and newer serve only kafka.strimzi.io/v1'],
  [/^extensions\/v1beta1$/, /./, 'networking.k8s.io/v1 or apps/v1'],
  [/^apps\/v1beta\d$/, /./, 'apps/v1'],
  [
    /^policy\/v1beta1$/,
    /./,
    'policy/v1; PodSecurityPolicy was removed, use Pod Security labels on namespaces',
  ],
  [/^networking\.k8s\.io\/v1beta1$/, /./, 'networking.k8s.io/v1'],
  [/^batch\/(v1beta1|v2alpha1)$/, /./, 'batch/v1'],
  [/^autoscaling\/v2beta\d$/, /./, 'autoscaling/v2'],
  [/^rbac\.authorization\.k8s\.io\/v1beta1$/, /./, 'rbac.authorization.k8s.io/v1'],
  [/^(certmanager\.k8s\.io\/|cert-manager\.io\/v1(alpha|beta))/, /./, 'cert-manager.io/v1'],
  [/^traefik\.containo\.us\//, /./, 'traefik.io/v1alpha1'],
];

const kustomizeFields: Readonly<Record<string, string>> = {
  commonLabels: 'labels',
  bases: 'resources',
  patchesStrategicMerge: 'patches',
  patchesJson6902: 'patches',
  vars: 'replacements',
};

/** Findings about API versions and fields that current clusters reject or silently ignore. */
export function versionFindings({ objects }: DeployFolder): Finding[] {
  return objects.flatMap((object) => [
    ...ofApi(object),
    ...ofArgo(object),
    ...ofStrimzi(object),
    ...ofFiles(object),
  ]);
}

function ofApi(object: DeployObject): Finding[] {
  return removed
    .filter(([version, kinds]) => version.test(object.apiVersion) && kinds.test(object.kind))
    .map(([, , instead]) =>
      finding(object, ['apiVersion'], 'removed-api', `${object.apiVersion} was removed: use ${instead}`),
    );
}

function ofArgo(object: DeployObject): Finding[] {
  if (!object.apiVersion.startsWith('argoproj.io/')) return [];
  const found: Finding[] = [];
  if (object.kind === 'CronWorkflow' && at(object.data, 'spec', 'schedule') !== undefined) {
    found.push(
      finding(
        object,
        ['spec', 'schedule'],
        'removed-api',
        'schedule was removed in Argo Workflows 4: use schedules: [...], supported since 3.6',
      ),
    );
  }
  for (const { path } of walk(object.data)) {
    const [parent, key] = path.slice(-2);
    if (parent === 'synchronization' && (key === 'mutex' || key === 'semaphore')) {
      found.push(
        finding(
          object,
          path,
          'removed-api',
          `${key} was removed in Argo Workflows 4: use ${key === 'mutex' ? 'mutexes' : 'semaphores'}: [...]`,
        ),
      );
    }
    if (key === 'podPriority')
      found.push(finding(object, path, 'removed-api', 'podPriority was removed in Argo Workflows 4'));
  }
  if (object.kind === 'EventSource') found.push(...ofEventSource(object));
  return found;
}

const recreated = [
  'amqp',
  'calendar',
  'kafka',
  'pubSub',
  'nats',
  'mqtt',
  'minio',
  'emitter',
  'nsq',
  'pulsar',
  'redis',
  'resource',
  'hdfs',
  'file',
  'sftp',
  'generic',
];

function ofEventSource(object: DeployObject): Finding[] {
  const spec = (at(object.data, 'spec') ?? {}) as object;
  const kinds = Object.keys(spec).filter((key) => recreated.includes(key));
  const kafka = Object.keys((at(spec, 'kafka') ?? {}) as object).filter(
    (name) => at(spec, 'kafka', name, 'version') === undefined,
  );
  return [
    ...(kinds.length > 0 && 'webhook' in spec
      ? [
          finding(
            object,
            ['spec', 'webhook'],
            'event-source',
            `a webhook and ${kinds.join(', ')} cannot share one EventSource: it is updated with a rolling update, the others with Recreate`,
          ),
        ]
      : []),
    ...('mqtt' in spec && Number(at(spec, 'replicas') ?? 1) > 1
      ? [
          finding(
            object,
            ['spec', 'replicas'],
            'event-source',
            'replicas with the same MQTT client ID disconnect each other: use 1',
          ),
        ]
      : []),
    ...kafka.map((name) =>
      finding(
        object,
        ['spec', 'kafka', name],
        'event-source',
        'without version, it uses the Kafka 1.0 protocol, which 4.x brokers reject',
      ),
    ),
  ];
}

function ofStrimzi(object: DeployObject): Finding[] {
  if (object.kind !== 'Kafka') return [];
  return ['zookeeper', ['kafka', 'replicas'], ['kafka', 'storage']].flatMap((field) => {
    const path = ['spec', ...(Array.isArray(field) ? field : [field])];
    return at(object.data, ...path) === undefined
      ? []
      : [
          finding(
            object,
            path,
            'removed-api',
            `spec.${[field].flat().join('.')} was removed: replicas and storage are in a KafkaNodePool, and there is no ZooKeeper`,
          ),
        ];
  });
}

function ofFiles(object: DeployObject): Finding[] {
  if (object.kind === 'Kustomization' || object.kind === 'Component') {
    return Object.entries(kustomizeFields).flatMap(([field, instead]) =>
      at(object.data, field) === undefined
        ? []
        : [finding(object, [field], 'removed-api', `${field} is deprecated: ${instead}`, 'warning')],
    );
  }
  if (
    /(^|\/)(docker-)?compose[\w.-]*\.ya?ml$/.test(object.file) &&
    at(object.data, 'version') !== undefined
  ) {
    return [finding(object, ['version'], 'removed-api', 'version is ignored by Compose: remove it')];
  }
  return [];
}

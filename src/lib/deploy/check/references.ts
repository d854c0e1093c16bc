import {
  at,
  containersOf,
  type Data,
  type DeployFolder,
  type DeployObject,
  type Finding,
  finding,
  listAt,
  podsOf,
  textAt,
  walk,
} from './objects.js';

/** Storage classes that K3s or the guide's storage provides. Whether others exist depends on the cluster. */
const knownClasses = ['local-path', 'longhorn'];

/** Annotation that lists objects that are created by hand: names of Secrets, or KIND/NAME, separated by commas. */
const byHand = 'aiot/made-by-hand';

/**
 * Findings about references to missing objects. Such references make a pod wait forever, or leave a service without a backend.
 */
export function referenceFindings({ objects }: DeployFolder): Finding[] {
  // compose.yaml, user-data files and node configurations contain no such references.
  if (!objects.some(({ kind }) => kind !== '' && kind !== 'Kustomization')) return [];
  const known = namesOf(objects);
  return objects.flatMap((object) => [
    ...pointers(object).flatMap(({ path, kind, name }) =>
      known.get(kind)?.has(name)
        ? []
        : [finding(object, path, 'reference', `${kind} ${name} does not exist here`)],
    ),
    ...classFindings(object, known.get('StorageClass') ?? new Set()),
    ...selectorFindings(object, objects),
  ]);
}

function namesOf(objects: readonly DeployObject[]): Map<string, Set<string>> {
  const known = new Map<string, Set<string>>();
  const add = (kind: string, name: unknown) => {
    if (typeof name !== 'string') return;
    const names = known.get(kind) ?? new Set();
    known.set(kind, names.add(name));
  };
  add('ServiceAccount', 'default');
  for (const { kind, data } of objects) {
    const name = textAt(data, 'metadata', 'name');
    add(kind, name);
    for (const hand of (textAt(data, 'metadata', 'annotations', byHand) ?? '').split(',')) {
      const [made = '', of] = hand.trim().split('/');
      if (of === undefined) add('Secret', made);
      else add(made, of);
    }
    if (kind === 'Kustomization' || kind === 'Component') {
      for (const { name: made } of listAt(data, 'configMapGenerator')) add('ConfigMap', made);
      for (const { name: made } of listAt(data, 'secretGenerator')) add('Secret', made);
    }
    if (kind === 'Certificate') add('Secret', textAt(data, 'spec', 'secretName'));
    if (kind === 'SealedSecret') add('Secret', name);
    if (kind === 'ExternalSecret') add('Secret', textAt(data, 'spec', 'target', 'name') ?? name);
    if (kind === 'KafkaUser') add('Secret', name);
    if (kind === 'Kafka') {
      add('Secret', `${name}-cluster-ca-cert`);
      add('Service', `${name}-kafka-bootstrap`);
    }
    if (kind === 'Cluster') {
      for (const role of ['rw', 'ro', 'r']) add('Service', `${name}-${role}`);
      for (const role of ['app', 'ca', 'server']) add('Secret', `${name}-${role}`);
    }
    if (kind === 'EventSource' && listAt(data, 'spec', 'service', 'ports').length > 0)
      add('Service', `${name}-eventsource-svc`);
  }
  return known;
}

interface Pointer {
  path: PropertyKey[];
  kind: string;
  name: string;
}

function pointers(object: DeployObject): Pointer[] {
  return [...ofPods(object), ...ofOthers(object)];
}

function ofPods(object: DeployObject): Pointer[] {
  const pods = podsOf([object]);
  const found: Pointer[] = [];
  const add = (kind: string, path: PropertyKey[], name: unknown, optional: unknown) => {
    if (typeof name === 'string' && optional !== true) found.push({ path, kind, name });
  };
  for (const { path, spec } of pods) {
    add('ServiceAccount', [...path, 'serviceAccountName'], spec.serviceAccountName, false);
    for (const [index, volume] of listAt(spec, 'volumes').entries()) {
      const place = [...path, 'volumes', index];
      add(
        'ConfigMap',
        [...place, 'configMap', 'name'],
        at(volume, 'configMap', 'name'),
        at(volume, 'configMap', 'optional'),
      );
      add(
        'Secret',
        [...place, 'secret', 'secretName'],
        at(volume, 'secret', 'secretName'),
        at(volume, 'secret', 'optional'),
      );
      add(
        'PersistentVolumeClaim',
        [...place, 'persistentVolumeClaim', 'claimName'],
        at(volume, 'persistentVolumeClaim', 'claimName'),
        false,
      );
    }
  }
  for (const { container, at: path } of containersOf(pods)) {
    for (const [index, variable] of listAt(container, 'env').entries()) {
      for (const [key, kind] of [
        ['secretKeyRef', 'Secret'],
        ['configMapKeyRef', 'ConfigMap'],
      ] as const) {
        const from = at(variable, 'valueFrom', key) as Data | undefined;
        add(kind, [...path, 'env', index, 'valueFrom', key, 'name'], from?.name, from?.optional);
      }
    }
    for (const [index, from] of listAt(container, 'envFrom').entries()) {
      add(
        'Secret',
        [...path, 'envFrom', index, 'secretRef', 'name'],
        at(from, 'secretRef', 'name'),
        at(from, 'secretRef', 'optional'),
      );
      add(
        'ConfigMap',
        [...path, 'envFrom', index, 'configMapRef', 'name'],
        at(from, 'configMapRef', 'name'),
        at(from, 'configMapRef', 'optional'),
      );
    }
  }
  return found;
}

const selectors = new Set([
  'accessKeySecret',
  'secretKeySecret',
  'caSecret',
  'authSecret',
  'serverCertSecret',
  'serverKeySecret',
  'userSecret',
  'passwordSecret',
  'caCertSecret',
  'clientCertSecret',
  'clientKeySecret',
  'credentials',
]);

function ofOthers({ kind, data }: DeployObject): Pointer[] {
  const found: Pointer[] = [];
  const add = (target: string, ...path: PropertyKey[]) => {
    const name = textAt(data, ...path);
    if (name !== undefined) found.push({ path, kind: target, name });
  };
  if (kind === 'Ingress') {
    for (const [rule, { http }] of listAt(data, 'spec', 'rules').entries()) {
      for (const index of listAt(http, 'paths').keys()) {
        add('Service', 'spec', 'rules', rule, 'http', 'paths', index, 'backend', 'service', 'name');
      }
    }
    for (const index of listAt(data, 'spec', 'tls').keys()) add('Secret', 'spec', 'tls', index, 'secretName');
  }
  if (kind === 'Certificate')
    add(textAt(data, 'spec', 'issuerRef', 'kind') ?? 'Issuer', 'spec', 'issuerRef', 'name');
  if (kind === 'Cluster') {
    const [bootstrap = 'initdb'] = Object.keys((at(data, 'spec', 'bootstrap') ?? {}) as object);
    add('Secret', 'spec', 'bootstrap', bootstrap, 'secret', 'name');
    for (const index of listAt(data, 'spec', 'plugins').keys())
      add('ObjectStore', 'spec', 'plugins', index, 'parameters', 'barmanObjectName');
    for (const index of listAt(data, 'spec', 'externalClusters').keys())
      add('ObjectStore', 'spec', 'externalClusters', index, 'plugin', 'parameters', 'barmanObjectName');
  }
  if (kind === 'ScheduledBackup') add('Cluster', 'spec', 'cluster', 'name');
  if (kind === 'ObjectStore')
    for (const key of ['accessKeyId', 'secretAccessKey'])
      add('Secret', 'spec', 'configuration', 's3Credentials', key, 'name');
  if (kind === 'Issuer') add('Secret', 'spec', 'ca', 'secretName');
  if (kind === 'RoleBinding') {
    add(textAt(data, 'roleRef', 'kind') ?? 'Role', 'roleRef', 'name');
    for (const index of listAt(data, 'subjects').keys()) add('ServiceAccount', 'subjects', index, 'name');
  }
  if (kind === 'ServersTransport')
    for (const index of listAt(data, 'spec', 'rootCAs').keys())
      add('Secret', 'spec', 'rootCAs', index, 'secret');
  if (kind === 'Sensor') {
    add('ServiceAccount', 'spec', 'template', 'serviceAccountName');
    for (const index of listAt(data, 'spec', 'dependencies').keys())
      add('EventSource', 'spec', 'dependencies', index, 'eventSourceName');
  }
  if (kind === 'CronWorkflow') add('WorkflowTemplate', 'spec', 'workflowSpec', 'workflowTemplateRef', 'name');
  if (kind === 'KafkaTopic' || kind === 'KafkaUser' || kind === 'KafkaNodePool')
    add('Kafka', 'metadata', 'labels', 'strimzi.io/cluster');
  if (kind === 'Sensor' || kind === 'EventSource' || kind === 'ServiceMonitor') {
    for (const { path, value } of walk(data)) {
      const key = String(path.at(-1));
      if (key === 'workflowTemplateRef') add('WorkflowTemplate', ...path, 'name');
      const secret =
        selectors.has(key) || path.at(-2) === 'auth' || (key === 'secret' && path.includes('tlsConfig'));
      if (secret && typeof value === 'object') add('Secret', ...path, 'name');
    }
  }
  return found;
}

function classFindings(object: DeployObject, own: ReadonlySet<string>): Finding[] {
  const found: Finding[] = [];
  for (const { path, value } of walk(object.data)) {
    const key = path.at(-1);
    const names = key === 'storageClassName' || (object.kind === 'KafkaNodePool' && key === 'class');
    if (!names || typeof value !== 'string' || knownClasses.includes(value) || own.has(value)) continue;
    found.push(
      finding(
        object,
        path,
        'storage-class',
        `${value} is not one of ${knownClasses.join(', ')}: unless the cluster defines it, the volume stays pending`,
        'warning',
      ),
    );
  }
  return found;
}

/** Findings about a Service whose labels match no pod in the folder, or whose port is not declared by any container of its pods. */
function selectorFindings(object: DeployObject, objects: readonly DeployObject[]): Finding[] {
  const selector = at(object.data, 'spec', 'selector');
  if (object.kind !== 'Service' || selector === null || typeof selector !== 'object') return [];
  const wanted = Object.entries(selector);
  const behind = podsOf(objects).filter(({ object: owner, path }) => {
    const labels = at(owner.data, ...path.slice(0, -1), 'metadata', 'labels');
    return wanted.every(([key, value]) => at(labels, key) === value);
  });
  if (behind.length === 0)
    return [
      finding(
        object,
        ['spec', 'selector'],
        'reference',
        'no pod here has these labels, so it has no endpoints',
      ),
    ];
  const names = new Set(
    containersOf(behind).flatMap(({ container }) => listAt(container, 'ports').map(({ name }) => name)),
  );
  return listAt(object.data, 'spec', 'ports').flatMap(({ targetPort }, index) =>
    typeof targetPort !== 'string' || names.has(targetPort)
      ? []
      : [
          finding(
            object,
            ['spec', 'ports', index, 'targetPort'],
            'reference',
            `none of its containers has the port ${targetPort}`,
          ),
        ],
  );
}

import type { Values } from '../values.js';
import type { ServiceValues } from '../values-schema.js';
import { failover, folders, limitsOf, said, secret, type Variable } from './k3s-environment.js';
import { cluster, isSecured } from './k3s-kafka.js';

/** The project's own processes, in the form of templates/deploy/k3s/services.yaml. */
export function servicesScope(values: Values) {
  const services = Object.entries(values.services);
  return {
    services: services.map(([name, service]) => processOf(name, service, values)),
    keeping: services.flatMap(([name, { size, storageClass = values.storageClass }]) =>
      size === undefined ? [] : [{ name, size, storageClass }],
    ),
    listening: services.flatMap(([name, { ports }]) => (ports.length === 0 ? [] : [listenerOf(name, ports)])),
    certified: services.filter(([, { certificate }]) => certificate).map(([name]) => ({ name })),
  };
}

function processOf(name: string, service: ServiceValues, values: Values) {
  const { accelerator, ports, health, nodeSelector, resources, context } = service;
  const wanted = accelerator === undefined ? undefined : values.accelerators[accelerator];
  const probes = probesOf(service);
  return {
    name,
    // The user creates the service's context by hand, as described in README.md.
    annotations: context ? { 'aiot/made-by-hand': `${name}-context` } : null,
    args: service.run,
    env: variablesOf(name, service, isSecured(values)),
    containerPorts: [
      ...ports.map((each) => ({ name: each.name, containerPort: each.port })),
      ...(health === undefined ? [] : [{ name: 'health', containerPort: health }]),
    ],
    ...probes,
    runtimeClass: wanted?.runtimeClass ?? null,
    nodeSelector: nullIfEmpty({
      ...nodeSelector,
      ...(wanted ? { [wanted.label.key]: wanted.label.value } : {}),
    }),
    tolerations: [
      ...failover,
      ...(wanted?.taint
        ? [{ key: wanted.label.key, operator: 'Equal', value: wanted.label.value, effect: 'NoSchedule' }]
        : []),
    ],
    limits: limitsOf(resources, wanted ? { [wanted.resource]: 1 } : {}),
    mounts: [
      { name: 'data', mountPath: '/var/lib/aiot' },
      { name: 'tmp', mountPath: '/tmp' },
      ...projectMounts(service),
      ...(service.certificate ? [{ name: 'certs', mountPath: '/certs', readOnly: true }] : []),
      ...(context ? [{ name: 'context', mountPath: '/context', readOnly: true }] : []),
    ],
    volumes: [
      { name: 'data', emptyDir: { sizeLimit: '512Mi' } },
      { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
      ...projectVolumes(name, service),
      ...(service.certificate
        ? [{ name: 'certs', secret: { secretName: `${name}-tls`, defaultMode: 0o440 } }]
        : []),
      ...(context
        ? [{ name: 'context', secret: { secretName: `${name}-context`, defaultMode: 0o440 } }]
        : []),
    ],
  };
}

function variablesOf(
  name: string,
  { env, secrets, context, talksTo }: ServiceValues,
  secured: boolean,
): Variable[] {
  const kafka = secured && talksTo.some((to) => to.startsWith(`${cluster}:`));
  const own = context
    ? folders.map((each) => (each.name === 'AIOT_CONFIG_DIR' ? said('AIOT_CONFIG_DIR', '/context') : each))
    : folders;
  return [
    ...own,
    ...secrets.map((each) => secret(each, name, each)),
    ...(kafka
      ? [
          said('AIOT_USERNAME', `kafka-${name}`),
          said('AIOT_SASL', 'scram-sha-512'),
          secret('AIOT_PASSWORD', `kafka-${name}`, 'password'),
        ]
      : []),
    // These come last, because they may refer to earlier variables as $(NAME).
    ...Object.entries(env).map(([key, value]) => said(key, value)),
  ];
}

/** Probes for a health page, or for a listening port. A process that has neither exits when it cannot continue, and is then restarted. */
function probesOf({ health, ports }: ServiceValues) {
  const [first] = ports;
  const action =
    health !== undefined
      ? { httpGet: { path: '/healthz', port: 'health' } }
      : first !== undefined
        ? { tcpSocket: { port: first.name } }
        : undefined;
  if (!action) return { startupProbe: null, livenessProbe: null, readinessProbe: null };
  return {
    startupProbe: { ...action, periodSeconds: 5, failureThreshold: 60 },
    livenessProbe: { ...action, periodSeconds: 20, timeoutSeconds: 5, failureThreshold: 3 },
    readinessProbe: { ...action, periodSeconds: 10, timeoutSeconds: 5 },
  };
}

/** Mounts for a project. Its files are read-only, and persistent data is on a volume in a subfolder. */
function projectMounts({ files, size }: ServiceValues) {
  if (files.length === 0 && size === undefined) return [];
  return [
    { name: 'project', mountPath: '/project' },
    ...(size === undefined ? [] : [{ name: 'kept', mountPath: '/project/data' }]),
    ...files.map((file) => ({
      name: 'files',
      mountPath: `/project/${file}`,
      subPath: keyOf(file),
      readOnly: true,
    })),
  ];
}

function projectVolumes(name: string, { files, size }: ServiceValues) {
  if (files.length === 0 && size === undefined) return [];
  return [
    { name: 'project', emptyDir: { sizeLimit: '64Mi' } },
    ...(size === undefined ? [] : [{ name: 'kept', persistentVolumeClaim: { claimName: name } }]),
    ...(files.length === 0 ? [] : [{ name: 'files', configMap: { name: `${name}-files` } }]),
  ];
}

/** A file's name as a key of a ConfigMap, which must not contain slashes. */
export const keyOf = (file: string) => file.replaceAll('/', '_');

function listenerOf(name: string, ports: ServiceValues['ports']) {
  return {
    name,
    type: ports.some(({ nodePort }) => nodePort !== undefined) ? 'NodePort' : 'ClusterIP',
    servicePorts: ports.map((each) => ({
      name: each.name,
      port: each.port,
      targetPort: each.name,
      ...(each.nodePort === undefined ? {} : { nodePort: each.nodePort }),
    })),
  };
}

const nullIfEmpty = (map: Record<string, string>) => (Object.keys(map).length === 0 ? null : map);

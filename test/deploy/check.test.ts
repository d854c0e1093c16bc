import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';

/** A Deployment with the lines of `more` in its container, and those of `pod` in its pod. */
const deployment = (more: string, pod = '') => `apiVersion: apps/v1
kind: Deployment
metadata: { name: a }
spec:
  replicas: 1
  selector: { matchLabels: { app: a } }
  template:
    metadata: { labels: { app: a } }
    spec:
${pod}      containers:
        - name: main
${more}`;
const limits = '          resources: { requests: { memory: 1Mi }, limits: { memory: 1Mi } }\n';
const image = '          image: registry.internal/a:1\n';
const service = (name: string, type: string, port: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { type: ${type}, ports: [{ ${port} }] }\n`;
const kafka = (brokers: string, version = 'v1') => `apiVersion: kafka.strimzi.io/${version}
kind: Kafka
metadata: { name: k }
spec:
  kafka:
    listeners:
      - { name: o, port: 9094, type: nodeport, tls: true, configuration: { bootstrap: { nodePort: 32199 }${brokers} } }
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaNodePool
metadata: { name: p, labels: { strimzi.io/cluster: k } }
spec: { replicas: 2, roles: [broker] }
`;

/** Each mistake with its file and text, and the rule, message and line of the finding. */
const mistakes: [string, string, string, rule: string, said: string, line: number][] = [
  [
    'a node port out of range',
    'a.yaml',
    service('a', 'NodePort', 'port: 1, nodePort: 9092'),
    'node-port',
    '9092 is not a valid node port',
    4,
  ],
  [
    'a duplicate node port',
    'a.yaml',
    `${service('a', 'NodePort', 'port: 1, nodePort: 30005')}---\n${service('b', 'NodePort', 'port: 1, nodePort: 30005')}`,
    'port-clash',
    '30005 is a node port of Service a',
    9,
  ],
  [
    'a duplicate load balancer port',
    'a.yaml',
    `${service('a', 'LoadBalancer', 'port: 8883')}---\n${service('b', 'LoadBalancer', 'port: 8883')}`,
    'port-clash',
    'by Service a',
    9,
  ],
  [
    'a broker without a port',
    'k.yaml',
    kafka(', brokers: [{ broker: 0, nodePort: 32200 }]'),
    'kafka-port',
    'no nodePort for broker 1',
    7,
  ],
  [
    'a broker on the bootstrap port',
    'k.yaml',
    kafka(', brokers: [{ broker: 0, nodePort: 32199 }, { broker: 1, nodePort: 32201 }]'),
    'port-clash',
    '32199',
    7,
  ],
  [
    'a secret',
    's.yaml',
    'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { password: aGFsbG8= }\n',
    'plain-secret',
    '(password)',
    4,
  ],
  [
    'a secret in an environment',
    'd.yaml',
    deployment(`${image}${limits}          env: [{ name: DB_PASSWORD, value: hello }]\n`),
    'plain-secret',
    'DB_PASSWORD',
    14,
  ],
  [
    'a password in an address',
    'd.yaml',
    deployment(`${image}${limits}          args: ['postgres://u:hello@db/x']\n`),
    'plain-secret',
    'an address contains a password',
    14,
  ],
  ['a private key', 'x.conf', '# a\n-----BEGIN EC PRIVATE KEY-----\n', 'plain-secret', 'a private key', 2],
  [
    'an old Strimzi version',
    'k.yaml',
    kafka(', brokers: [{ broker: 0, nodePort: 32200 }, { broker: 1, nodePort: 32201 }]', 'v1beta2'),
    'removed-api',
    'only kafka.strimzi.io/v1',
    1,
  ],
  [
    'the removed field CronWorkflow.schedule',
    'w.yaml',
    'apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: { name: w }\nspec: { schedule: "* * * * *" }\n',
    'removed-api',
    'schedules',
    4,
  ],
  [
    'a mutex that is not a list',
    'w.yaml',
    'apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: { synchronization: { mutex: { name: m } } }\n',
    'removed-api',
    'mutexes',
    3,
  ],
  [
    'a webhook beside MQTT',
    'e.yaml',
    'apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: { name: e }\nspec: { mqtt: { a: {} }, webhook: { b: {} } }\n',
    'event-source',
    'mqtt cannot share one',
    4,
  ],
  [
    'the removed version field of Compose',
    'compose.yaml',
    'version: "3"\nservices: { a: { image: a:1, mem_limit: 1m } }\n',
    'removed-api',
    'remove it',
    1,
  ],
  ['a missing memory limit', 'd.yaml', deployment(image), 'limit', 'no memory limit', 11],
  [
    'a missing readiness probe',
    'd.yaml',
    deployment(`${image}${limits}          livenessProbe: {}\n          ports: [{ containerPort: 80 }]\n`),
    'probe',
    'no readinessProbe',
    11,
  ],
  [
    'an image tagged latest',
    'd.yaml',
    deployment(`${limits}          image: nginx:latest\n`),
    'image',
    'nginx:latest',
    13,
  ],
  [
    'an image without a tag',
    'compose.yaml',
    'services: { a: { image: "reg:5000/nginx", mem_limit: 1m } }\n',
    'image',
    'has no tag',
    1,
  ],
  [
    'a missing ConfigMap',
    'd.yaml',
    deployment(image + limits, '      volumes: [{ name: v, configMap: { name: nowhere } }]\n'),
    'reference',
    'ConfigMap nowhere does not exist',
    10,
  ],
  [
    'a missing Secret',
    'd.yaml',
    deployment(
      `${image}${limits}          env: [{ name: X, valueFrom: { secretKeyRef: { name: gone, key: k } } }]\n`,
    ),
    'reference',
    'Secret gone does not exist',
    14,
  ],
  [
    'a service without endpoints',
    's.yaml',
    'apiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: b }, ports: [{ port: 1 }] }\n',
    'reference',
    'it has no endpoints',
    4,
  ],
  [
    'a service port that no container has',
    's.yaml',
    `${deployment(`${image}${limits}`)}---\napiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: a }, ports: [{ port: 1, targetPort: web }] }\n`,
    'reference',
    'has the port web',
    18,
  ],
  [
    'a pod that its namespace rejects',
    'd.yaml',
    `apiVersion: v1\nkind: Namespace\nmetadata: { name: n, labels: { pod-security.kubernetes.io/enforce: restricted } }\n---\n${deployment(image + limits)}`,
    'pod-security',
    'runAsNonRoot',
    15,
  ],
  [
    'a disruption budget that blocks every eviction',
    'd.yaml',
    `${deployment(image + limits)}---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: { name: a }\nspec: { minAvailable: 1, selector: { matchLabels: { app: a } } }\n`,
    'budget',
    'no node',
    18,
  ],
  [
    'a missing Compose service',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, depends_on: [b] }\n',
    'reference',
    'service b does not exist',
    2,
  ],
  [
    'a wait for a service without a health check',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, depends_on: { b: { condition: service_healthy } } }\n  b: { image: b:1, mem_limit: 1m }\n',
    'probe',
    'has no healthcheck',
    2,
  ],
  [
    'a missing Compose secret',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, secrets: [s] }\n',
    'reference',
    'secret s does not exist',
    2,
  ],
  [
    'a port used by two services',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, ports: ["80:80"] }\n  b: { image: b:1, mem_limit: 1m, ports: ["127.0.0.1:80:81"] }\n',
    'port-clash',
    '80 is already a port of a',
    3,
  ],
  ['user data without its first line', 'user-data', 'packages: [a]\n', 'cloud-init', '#cloud-config', 1],
  [
    'an unknown cloud-init key',
    'user-data.yaml',
    '#cloud-config\npakages: [a]\n',
    'cloud-init',
    'pakages',
    2,
  ],
  [
    'unquoted permissions',
    'user-data.yaml',
    '#cloud-config\nwrite_files:\n  - { path: /a, permissions: 0644 }\n',
    'cloud-init',
    'in quotes',
    3,
  ],
  ['invalid YAML', 'a.yaml', 'a: [\n', 'yaml', 'must', 2],
];

describe('aiot deploy check', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-deploy-check-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  };

  it.each(mistakes)('finds %s', async (_, file, text, rule, said, line) => {
    await put(file, text);
    const { json, code } = await runCli(['deploy', 'check', dir, '--json']);
    const { findings, ok } = json as {
      findings: { rule: string; level: string; message: string; file: string; line: number }[];
      ok: boolean;
    };
    expect(findings).toContainEqual(
      expect.objectContaining({ level: 'error', rule, file, line, message: expect.stringContaining(said) }),
    );
    expect([code, ok]).toEqual([6, false]);
  });

  it('prints no secrets, resolves generated objects, and warns about an unknown storage class', async () => {
    await put(
      's.yaml',
      'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData: { password: verysecret }\n',
    );
    expect(JSON.stringify((await runCli(['deploy', 'check', dir, '--json'])).json)).not.toContain(
      'verysecret',
    );
    await rm(join(dir, 's.yaml'));
    await put(
      'kustomization.yaml',
      'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nconfigMapGenerator: [{ name: c }]\nsecretGenerator: [{ name: s }]\n',
    );
    await put(
      'c.yaml',
      'apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: { name: c }\nspec: { secretName: tls, issuerRef: { name: i } }\n---\napiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: { name: i }\nspec: { selfSigned: {} }\n',
    );
    const volumes =
      '      volumes: [{ name: a, configMap: { name: c } }, { name: b, secret: { secretName: s } }, { name: t, secret: { secretName: tls } }]\n';
    await put('d.yaml', deployment(image + limits, volumes));
    await put(
      'v.yaml',
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: v }\nspec: { storageClassName: fast }\n',
    );
    const { stdout, code } = await runCli(['deploy', 'check', dir]);
    expect(code).toBe(0);
    expect(stdout).toContain('! v.yaml:4 PersistentVolumeClaim v: fast is not one of local-path, longhorn');
    expect(stdout).toContain('✓ no errors, 4 files, 5 objects');
  });

  it('exits with 4 for an empty or missing folder', async () => {
    expect((await runCli(['deploy', 'check', dir])).code).toBe(4);
    expect((await runCli(['deploy', 'check', join(dir, 'none')])).code).toBe(4);
  });
});

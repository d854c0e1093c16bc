import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';

/** A Deployment with what is asked for; `more` goes into its container. */
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

/** What is wrong, in which file, what is said, and at which line. */
const mistakes: [string, string, string, rule: string, said: string, line: number][] = [
  [
    'a node port out of range',
    'a.yaml',
    service('a', 'NodePort', 'port: 1, nodePort: 9092'),
    'node-port',
    '9092 is no node port',
    4,
  ],
  [
    'a node port given twice',
    'a.yaml',
    `${service('a', 'NodePort', 'port: 1, nodePort: 30005')}---\n${service('b', 'NodePort', 'port: 1, nodePort: 30005')}`,
    'port-clash',
    '30005 is a node port of Service a',
    9,
  ],
  [
    'a load balancer’s port given twice',
    'a.yaml',
    `${service('a', 'LoadBalancer', 'port: 8883')}---\n${service('b', 'LoadBalancer', 'port: 8883')}`,
    'port-clash',
    'by Service a',
    9,
  ],
  [
    'no port for a broker',
    'k.yaml',
    kafka(', brokers: [{ broker: 0, nodePort: 32200 }]'),
    'kafka-port',
    'no nodePort for broker 1',
    7,
  ],
  [
    'a broker at the first contact’s port',
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
    'an address has a password',
    14,
  ],
  ['a private key', 'x.conf', '# a\n-----BEGIN EC PRIVATE KEY-----\n', 'plain-secret', 'a private key', 2],
  [
    'Strimzi’s former version',
    'k.yaml',
    kafka(', brokers: [{ broker: 0, nodePort: 32200 }, { broker: 1, nodePort: 32201 }]', 'v1beta2'),
    'removed-api',
    'kafka.strimzi.io/v1 alone',
    1,
  ],
  [
    'CronWorkflow.schedule',
    'w.yaml',
    'apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: { name: w }\nspec: { schedule: "* * * * *" }\n',
    'removed-api',
    'schedules',
    4,
  ],
  [
    'a mutex that is no list',
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
    'mqtt cannot be one',
    4,
  ],
  [
    'version of Compose',
    'compose.yaml',
    'version: "3"\nservices: { a: { image: a:1, mem_limit: 1m } }\n',
    'removed-api',
    'leave it out',
    1,
  ],
  ['no limit', 'd.yaml', deployment(image), 'limit', 'no limit of memory', 11],
  [
    'no readiness probe',
    'd.yaml',
    deployment(`${image}${limits}          livenessProbe: {}\n          ports: [{ containerPort: 80 }]\n`),
    'probe',
    'no readinessProbe',
    11,
  ],
  [
    'an image that is latest',
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
    'a ConfigMap that is not there',
    'd.yaml',
    deployment(image + limits, '      volumes: [{ name: v, configMap: { name: nowhere } }]\n'),
    'reference',
    'no ConfigMap nowhere',
    10,
  ],
  [
    'a Secret that is not there',
    'd.yaml',
    deployment(
      `${image}${limits}          env: [{ name: X, valueFrom: { secretKeyRef: { name: gone, key: k } } }]\n`,
    ),
    'reference',
    'no Secret gone',
    14,
  ],
  [
    'a service that nobody is behind',
    's.yaml',
    'apiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: b }, ports: [{ port: 1 }] }\n',
    'reference',
    'nobody is behind it',
    4,
  ],
  [
    'a service’s port that nobody has',
    's.yaml',
    `${deployment(`${image}${limits}`)}---\napiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: a }, ports: [{ port: 1, targetPort: web }] }\n`,
    'reference',
    'has a port web',
    18,
  ],
  [
    'what a namespace refuses',
    'd.yaml',
    `apiVersion: v1\nkind: Namespace\nmetadata: { name: n, labels: { pod-security.kubernetes.io/enforce: restricted } }\n---\n${deployment(image + limits)}`,
    'pod-security',
    'runAsNonRoot',
    15,
  ],
  [
    'a budget that lets nobody go',
    'd.yaml',
    `${deployment(image + limits)}---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: { name: a }\nspec: { minAvailable: 1, selector: { matchLabels: { app: a } } }\n`,
    'budget',
    'no node',
    18,
  ],
  [
    'a service of Compose that is not there',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, depends_on: [b] }\n',
    'reference',
    'no service b',
    2,
  ],
  [
    'one that waits for another one’s health',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, depends_on: { b: { condition: service_healthy } } }\n  b: { image: b:1, mem_limit: 1m }\n',
    'probe',
    'has no healthcheck',
    2,
  ],
  [
    'a secret of Compose that is not there',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, secrets: [s] }\n',
    'reference',
    'no secret s',
    2,
  ],
  [
    'a port of two services',
    'compose.yaml',
    'services:\n  a: { image: a:1, mem_limit: 1m, ports: ["80:80"] }\n  b: { image: b:1, mem_limit: 1m, ports: ["127.0.0.1:80:81"] }\n',
    'port-clash',
    '80 is a port of a',
    3,
  ],
  ['user data without its first line', 'user-data', 'packages: [a]\n', 'cloud-init', '#cloud-config', 1],
  [
    'a key that cloud-init does not know',
    'user-data.yaml',
    '#cloud-config\npakages: [a]\n',
    'cloud-init',
    'pakages',
    2,
  ],
  [
    'permissions without quotes',
    'user-data.yaml',
    '#cloud-config\nwrite_files:\n  - { path: /a, permissions: 0644 }\n',
    'cloud-init',
    'in quotes',
    3,
  ],
  ['no YAML', 'a.yaml', 'a: [\n', 'yaml', 'must', 2],
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

  it('says no secret itself, takes what generators, certificates and users of Kafka make, and warns of a class it does not know', async () => {
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
    expect(stdout).toContain('! v.yaml:4 PersistentVolumeClaim v: fast is none of local-path, longhorn');
    expect(stdout).toContain('✓ no errors, 4 files, 5 objects');
  });

  it('says that there is nothing, and no folder', async () => {
    expect((await runCli(['deploy', 'check', dir])).code).toBe(4);
    expect((await runCli(['deploy', 'check', join(dir, 'none')])).code).toBe(4);
  });
});

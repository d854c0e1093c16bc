import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { renderPipeline } from '../../src/lib/deploy/argo.js';
import { checkDeployment } from '../../src/lib/deploy/check/check.js';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { targetNames } from '../../src/lib/deploy/targets.js';
import { root, runCli } from '../support/cli.js';
import { loose, systems } from './systems.js';

describe('the targets of aiot deploy render', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-targets-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const objects = async (path: string) =>
    parseAllDocuments(await readFile(join(dir, path), 'utf8'), { version: '1.1' }).map((document) =>
      loose(document.toJS()),
    );
  const named = (list: ReturnType<typeof loose>[], kind: string, name: string) =>
    loose(list.find((object) => object.kind === kind && object.metadata.name === name));

  it.each(systems)('render $name reproducibly and without errors', async ({ project, values }) => {
    for (const target of targetNames) {
      const out = join(dir, target);
      const options = { target, out, ...(project ? { project } : {}), ...(values ? { values } : {}) };
      const first = await renderDeployment(options);
      expect(first.files.length, target).toBeGreaterThan(0);
      if (target === 'nats') continue;
      if (target === 'compose') {
        const again = await renderDeployment(options);
        expect(new Set(again.files.map(({ did }) => did))).toEqual(new Set(['unchanged']));
      }
      const { findings } = await checkDeployment(out);
      expect(findings, target).toEqual([]);
    }
  });

  it('expose the ports of the guide’s services, and one Kafka port per broker', async () => {
    await renderDeployment({ target: 'k3s', out: dir, project: join(root, 'templates/motor-watch') });
    const guide = named(await objects('base/platform.yaml'), 'Service', 'platform-guide');
    expect(guide.spec.ports.map(({ nodePort }: { nodePort: number }) => nodePort)).toEqual([
      30005, 30006, 30007, 30008,
    ]);
    const kafka = named(await objects('base/kafka.yaml'), 'Kafka', 'kafka');
    const outside = kafka.spec.kafka.listeners.find(({ type }: { type: string }) => type === 'nodeport');
    expect(outside.configuration).toMatchObject({
      bootstrap: { nodePort: 32199 },
      brokers: [{ broker: 0, nodePort: 32200 }],
    });
    // The guide's clients send no password, so none is required.
    expect(kafka.spec.kafka.authorization).toBeUndefined();
    expect(outside.authentication).toBeUndefined();
  });

  it('spread three NATS servers, admit only the platform and each other to their inner ports, and scale on the backlog', async () => {
    await renderDeployment({ target: 'k3s', out: dir, values: join(root, 'test/deploy/three-nats.yaml') });
    const broker = await objects('base/broker.yaml');
    const { spec } = named(broker, 'StatefulSet', 'broker');
    expect([spec.replicas, spec.podManagementPolicy]).toEqual([3, 'Parallel']);
    expect(spec.template.spec.affinity.podAntiAffinity).toEqual({
      requiredDuringSchedulingIgnoredDuringExecution: [
        {
          labelSelector: { matchLabels: { 'app.kubernetes.io/name': 'broker' } },
          topologyKey: 'kubernetes.io/hostname',
        },
      ],
    });
    expect(named(broker, 'PodDisruptionBudget', 'broker').spec.maxUnavailable).toBe(1);
    const [nats] = spec.template.spec.containers;
    expect([nats.startupProbe, nats.livenessProbe, nats.readinessProbe]).not.toContain(undefined);
    const rules = named(await objects('base/network.yaml'), 'NetworkPolicy', 'broker').spec.ingress as {
      from?: { podSelector: { matchLabels: Record<string, string> } }[];
      ports: { port: number }[];
    }[];
    const admitted = rules.map(({ from, ports }) => [
      ports.map(({ port }) => port),
      from?.map(({ podSelector }) => podSelector.matchLabels['app.kubernetes.io/name']) ?? 'all',
    ]);
    expect(admitted).toEqual([
      [[8883], 'all'],
      [[4222], ['platform']],
      [[6222], ['broker']],
    ]);
    const routes = named(await objects('base/tls.yaml'), 'Certificate', 'broker-routes').spec;
    expect(routes.dnsNames).toEqual([0, 1, 2].map((at) => `broker-${at}.broker-nodes`));
    const platform = await objects('base/platform.yaml');
    // The autoscaler owns the number of replicas.
    expect(named(platform, 'Deployment', 'platform').spec.replicas).toBeUndefined();
    const scaler = named(platform, 'HorizontalPodAutoscaler', 'platform').spec;
    expect([scaler.minReplicas, scaler.maxReplicas]).toEqual([3, 9]);
    expect(scaler.metrics[0].external).toEqual({
      metric: { name: 'aiot_ingest_backlog_messages' },
      target: { type: 'AverageValue', averageValue: '10000' },
    });
    expect(await readFile(join(dir, 'README.md'), 'utf8')).toContain('max(<<.Series>>{<<.LabelMatchers>>})');
  });

  it.each([
    ['mosquitto', 1],
    ['nats', 1],
    ['nats', 3],
  ])('stop the platform and %s (servers: %i) while a backup is restored', async (engine, servers) => {
    const values = join(dir, 'values.yaml');
    await writeFile(
      values,
      `broker: { engine: ${engine}, servers: ${servers} }\nbackup: { restore: backup-1.tar }\n`,
    );
    const out = join(dir, 'restoring');
    await renderDeployment({ target: 'k3s', out, values });
    const broker = named(await objects('restoring/base/broker.yaml'), 'StatefulSet', 'broker');
    const platform = named(await objects('restoring/base/platform.yaml'), 'Deployment', 'platform');
    expect([broker.spec.replicas, platform.spec.replicas]).toEqual([0, 0]);
    if (engine === 'nats') {
      const variables = broker.spec.template.spec.containers[0].env as { name: string }[];
      const routes = variables.filter(({ name }) => name.startsWith('ROUTE_'));
      expect(routes).toHaveLength(servers === 1 ? 0 : servers);
    }
    const steps = (await readFile(join(out, 'README.md'), 'utf8')).split('must be empty:')[1] ?? '';
    expect(steps).toMatch(/apply --server-side --force-conflicts.*wait --for=delete pod.*delete stateful/s);
    expect(steps).toContain('This starts the platform and its broker.');
    expect((await checkDeployment(out)).findings).toEqual([]);

    await writeFile(values, `broker: { engine: ${engine}, servers: ${servers} }\nbackup: {}\n`);
    await renderDeployment({ target: 'k3s', out, values });
    const again = named(await objects('restoring/base/broker.yaml'), 'StatefulSet', 'broker');
    expect(again.spec.replicas).toBe(servers);
  });

  it.each([
    ['{ instances: 1 }', /delete statefulset\/database pvc\/data-database-0\n/],
    ['{ instances: 3 }', /delete cluster database\n/],
    ['false', /# Now empty the database\.\n/],
  ])('explain how to restore a backup with database: %s', async (database, emptied) => {
    const values = join(dir, 'values.yaml');
    const out = join(dir, 'restoring');
    await writeFile(values, `database: ${database}\nbackup: { restore: backup-1.tar }\n`);
    await renderDeployment({ target: 'k3s', out, values });
    const text = await readFile(join(out, 'README.md'), 'utf8');
    const steps = /must be empty:\n\n```sh\n(.*?)```/s.exec(text)?.[1] ?? '';
    expect(steps).toMatch(emptied);
    expect(steps.match(/empty the database|delete (statefulset|cluster)/g)).toHaveLength(1);
    expect(steps.includes('creates an empty database')).toBe(database !== 'false');
    expect(steps).toMatch(/delete job\/restore --ignore-not-found\nkubectl apply -k restore\n/);
    expect(text).toContain('aiot token create backup --role operator --expires 365d');
  });

  it('let the containers that read all devices use as much memory as the platform', async () => {
    const values = join(dir, 'values.yaml');
    await writeFile(
      values,
      'platform: { resources: { cpu: 500m, memory: 1Gi, limit: 3Gi } }\nbroker: { engine: nats }\n',
    );
    await renderDeployment({ target: 'k3s', out: dir, values });
    const platform = named(await objects('base/platform.yaml'), 'Deployment', 'platform').spec.template.spec;
    const limits = { requests: { cpu: '500m', memory: '1Gi' }, limits: { memory: '3Gi' } };
    expect([platform.initContainers[0].resources, platform.containers[0].resources]).toEqual([
      limits,
      limits,
    ]);
    const broker = named(await objects('base/broker.yaml'), 'StatefulSet', 'broker').spec.template.spec;
    expect(broker.initContainers[0].resources.limits).toEqual({ memory: '3Gi' });
  });

  it.each([
    ['platform: false\nbroker: { engine: nats }', /broker\.engine.*expected mosquitto/],
    ['broker: { servers: 3 }', /broker\.servers.*expected 1/],
    ['platform: { autoscale: { replicas: 4 } }', /platform\.autoscale.*needs `broker: \{ engine: nats \}`/],
    [
      'platform: { replicas: 4, autoscale: { replicas: 4 } }\nbroker: { engine: nats }',
      /platform\.autoscale\.replicas.*expected more/,
    ],
    ['platform: false\nbackup: {}', /backup.*expected false/],
    ['backup: { restore: ../other.tar }', /backup\.restore.*expected a file/],
  ])('reject %j', async (text, said) => {
    const values = join(dir, 'values.yaml');
    await writeFile(values, `${text}\n`);
    await expect(renderDeployment({ target: 'k3s', out: dir, values })).rejects.toMatchObject({
      code: 'AIOT_DEPLOY_VALUES',
      message: expect.stringMatching(said),
    });
  });

  it('render a project’s pipeline as part of its cluster exactly as they do separately', async () => {
    const project = join(root, 'templates/motor-watch');
    await renderDeployment({ target: 'k3s', out: dir, project });
    await renderPipeline({ project, out: join(dir, 'alone') });
    const [there, alone] = [
      join(dir, 'base/workflow-template.yaml'),
      join(dir, 'alone/workflow-template.yaml'),
    ];
    expect(await readFile(there, 'utf8')).toBe(await readFile(alone, 'utf8'));
    expect((await objects('base/kustomization.yaml'))[0]).toMatchObject({
      resources: expect.arrayContaining(['argo.yaml', 'workflow-template.yaml']),
    });
    // The file that starts the pipeline does not ask the user to create the template by hand.
    expect(await readFile(join(dir, 'base/argo.yaml'), 'utf8')).not.toContain('WorkflowTemplate/');
    expect((await checkDeployment(dir)).findings).toEqual([]);
  });

  it('expose the kit on port 31883, and mount a certificate into each service of the motion system', async () => {
    await renderDeployment({ target: 'k3s', out: dir, project: join(root, 'templates/iot-kit') });
    expect(named(await objects('base/services.yaml'), 'Service', 'kit').spec.ports).toEqual([
      { name: 'mqtt', port: 1883, targetPort: 'mqtt', nodePort: 31883 },
    ]);
    const out = join(dir, 'har');
    await renderDeployment({ target: 'compose', out, project: join(root, 'templates/har-imu') });
    const [compose] = await objects('har/compose.yaml');
    const services = loose(compose).services as Record<string, { volumes?: string[]; profiles?: string[] }>;
    for (const name of ['sense', 'extract', 'predict', 'output']) {
      expect(services[name]?.volumes, name).toContain(`./certs/${name}:/certs:ro`);
    }
    expect(services.nats?.profiles).toBeUndefined();
    expect(services.redis?.profiles).toBeUndefined();
  });

  it('make NATS and Redis optional in Compose if the project does not need them', async () => {
    await renderDeployment({ target: 'compose', out: dir });
    const [compose] = await objects('compose.yaml');
    const { services } = loose(compose);
    expect([services.nats.profiles, services.redis.profiles]).toEqual([['motion'], ['motion']]);
  });

  it('use storage classes, accelerators, brokers and addresses from deploy.yaml', async () => {
    const values = join(dir, 'values.yaml');
    await writeFile(
      values,
      `hosts: [plant.example, 192.168.1.10]
storageClass: longhorn
kafka: { brokers: 3 }
monitoring: true
services:
  infer:
    run: [loop, run, --listen, "0.0.0.0:9099"]
    health: 9099
    accelerator: coral
`,
    );
    await renderDeployment({ target: 'k3s', out: dir, values });
    const tls = named(await objects('base/tls.yaml'), 'Certificate', 'platform-tls');
    expect(tls.spec).toMatchObject({
      dnsNames: ['plant.example', 'platform.aiot.svc'],
      ipAddresses: ['192.168.1.10'],
    });
    const database = named(await objects('base/database.yaml'), 'StatefulSet', 'database');
    expect(database.spec.volumeClaimTemplates[0].spec.storageClassName).toBe('longhorn');
    const kafka = await objects('base/kafka.yaml');
    expect(named(kafka, 'KafkaNodePool', 'both').spec.replicas).toBe(3);
    expect(named(kafka, 'Kafka', 'kafka').spec.kafka.config['min.insync.replicas']).toBe(2);
    const infer = named(await objects('base/services.yaml'), 'Deployment', 'infer').spec.template.spec;
    expect(infer.nodeSelector).toEqual({ accelerator: 'coral' });
    expect(infer.tolerations).toContainEqual({
      key: 'accelerator',
      operator: 'Equal',
      value: 'coral',
      effect: 'NoSchedule',
    });
    expect(infer.containers[0].resources.limits).toEqual({ memory: '512Mi', 'squat.ai/edgetpu': 1 });
    const [top] = await objects('kustomization.yaml');
    expect(loose(top).components).toEqual(['components/monitoring']);
    expect((await checkDeployment(dir)).findings).toEqual([]);
  });

  it('restore a database from its backups under a new name', async () => {
    const values = join(dir, 'values.yaml');
    await writeFile(
      values,
      `database:
  instances: 3
  backups: { destination: s3://backups/plant, at: '14:05', name: database-2 }
  restore: { until: '2026-05-01T12:00:00Z' }
`,
    );
    await renderDeployment({ target: 'k3s', out: dir, values });
    const all = await objects('base/database.yaml');
    const plugin = (serverName: string) => ({
      name: 'barman-cloud.cloudnative-pg.io',
      parameters: { barmanObjectName: 'database', serverName },
    });
    expect(all.map(({ kind }) => kind)).toEqual(['Cluster', 'ObjectStore', 'ScheduledBackup']);
    expect(named(all, 'Cluster', 'database').spec).toMatchObject({
      bootstrap: {
        recovery: {
          source: 'restored',
          database: 'aiot',
          recoveryTarget: { targetTime: '2026-05-01T12:00:00Z' },
        },
      },
      externalClusters: [{ name: 'restored', plugin: plugin('database') }],
      plugins: [{ ...plugin('database-2'), isWALArchiver: true }],
    });
    expect(named(all, 'ScheduledBackup', 'database').spec.schedule).toBe('0 5 14 * * *');
    // The platform connects to the primary, which the operator's Service finds.
    const platform = named(await objects('base/platform.yaml'), 'Deployment', 'platform');
    expect(platform.spec.template.spec.containers[0].env).toContainEqual({
      name: 'AIOT_DATABASE',
      value: 'postgres://aiot:$(DATABASE_PASSWORD)@database-rw:5432/aiot',
    });
    expect((await checkDeployment(dir)).findings).toEqual([]);
  });

  it('report a cluster that refers to something that is not there', async () => {
    await renderDeployment({ target: 'k3s', out: dir, values: join(root, 'test/deploy/three.yaml') });
    const path = join(dir, 'base/database.yaml');
    const text = await readFile(path, 'utf8');
    const wrong = text
      .replace('barmanObjectName: database', 'barmanObjectName: elsewhere')
      .replace('accessKeyId: { name: database-backups', 'accessKeyId: { name: lost')
      .replace('cluster: { name: database }', 'cluster: { name: other }');
    await writeFile(path, wrong);
    const { findings } = await checkDeployment(dir);
    expect(findings.map(({ message }) => message)).toEqual([
      'ObjectStore elsewhere does not exist here',
      'Secret lost does not exist here',
      'Cluster other does not exist here',
    ]);
  });

  it.each([
    ['unknown fields', 'platfrom: {}', 'values.yaml:1:1: platfrom: unknown field. Did you mean platform?'],
    [
      'nested unknown fields',
      'kafka:\n  brokers: 1\n  zookeeper: {}',
      'values.yaml:3:3: kafka.zookeeper: unknown field',
    ],
    [
      'images without a tag',
      'image: registry.internal:5000/aiot',
      'values.yaml:1:1: image: expected a tag or a digest',
    ],
    [
      'a node port out of range',
      'kafka: { outside: { bootstrap: 9092 } }',
      'expected a node port, 30000 to 32767',
    ],
    [
      'a duplicate port',
      'kafka: { outside: { bootstrap: 32200 } }',
      '32200 is already used for kafka.outside.bootstrap',
    ],
    [
      'two servers',
      'nodes: { list: [{ name: a, role: server }, { name: b, role: server }] }',
      'expected 1, 3 or 5 servers',
    ],
    [
      'a secret in plain text',
      'services: { a: { run: [up], env: { MY_TOKEN: abc } } }',
      'services.a.env.MY_TOKEN: a secret in plain text',
    ],
    [
      'a password in an address',
      "services: { a: { run: [up], env: { KAFKA: 'kafka://u:p@k:9092' } } }",
      'a secret in plain text',
    ],
    ['a name with a line break', 'name: "a\\nb"', 'name: expected at most 53 lowercase letters'],
    [
      'a command of two lines',
      'services: { a: { run: ["a\\nb"] } }',
      'expected text without control characters',
    ],
    [
      'the guide with two replicas',
      'platform: { compat: architects-guide }\nbroker: false',
      'platform.replicas: expected 1',
    ],
    [
      'backups of a single database',
      'database: { backups: { destination: s3://bak/a } }',
      'needs `instances: 3`',
    ],
    [
      'a restore that would overwrite its backups',
      'database: { instances: 3, backups: { destination: s3://backups }, restore: {} }',
      'database.backups.name: expected a name other than database',
    ],
    ['a restore from nowhere', 'database: { instances: 3, restore: {} }', 'needs `backups`'],
    ['two nodes for objects', 'objects: { servers: 2 }', 'servers: expected 1, or 3'],
    ['invalid YAML', 'a: [', 'not valid YAML'],
  ])('reject %s', async (_, text, said) => {
    const values = join(dir, 'values.yaml');
    await writeFile(values, text);
    const { code, json } = await runCli([
      'deploy',
      'render',
      '--target',
      'k3s',
      '--out',
      join(dir, 'out'),
      '--values',
      values,
      '--json',
    ]);
    expect([code, loose(json).error.code]).toEqual([2, 'AIOT_DEPLOY_VALUES']);
    expect(loose(json).error.message).toContain(said);
    await expect(readdir(join(dir, 'out'))).rejects.toThrow();
  });

  it('report missing project files, and accept a deploy.yaml that contains only comments', async () => {
    await cp(join(root, 'templates/iot-kit/deploy.yaml'), join(dir, 'v.yaml'));
    const error = await renderDeployment({
      target: 'k3s',
      out: join(dir, 'o'),
      values: join(dir, 'v.yaml'),
    }).catch((caught) => caught);
    expect(error).toMatchObject({ code: 'AIOT_PROJECT_NOT_FOUND' });
    await writeFile(join(dir, 'empty.yaml'), '# nothing\n');
    const { files } = await renderDeployment({
      target: 'argocd',
      out: join(dir, 'o'),
      values: join(dir, 'empty.yaml'),
    });
    expect(files).toHaveLength(1);
  });

  it('quickly parse a deploy.yaml with a long line of # characters', { timeout: 5000 }, async () => {
    await writeFile(
      join(dir, 'ruled.yaml'),
      `${'#'.repeat(200)}\n# mine\n\n${' '.repeat(200)}\nnothing: 1\n`,
    );
    const values = join(dir, 'ruled.yaml');
    const error = await renderDeployment({ target: 'argocd', out: join(dir, 'o'), values }).catch(
      (caught) => caught,
    );
    expect(error).toMatchObject({
      code: 'AIOT_DEPLOY_VALUES',
      message: expect.stringContaining('ruled.yaml:5:'),
    });
  });
});

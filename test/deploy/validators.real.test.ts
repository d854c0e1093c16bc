import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderPipeline } from '../../src/lib/deploy/argo.js';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { type TargetName, targetNames } from '../../src/lib/deploy/targets.js';
import { root } from '../support/cli.js';
import {
  argoEventsLintProgram,
  argoLintProgram,
  cloudInitSchema,
  describeReal,
  k8sFolder,
} from '../support/real.js';
import { systems } from './systems.js';

let dir: string;
const folderOf = (name: string, target: TargetName) => join(dir, name.replaceAll(' ', '-'), target);
const rendered = async (target: TargetName) => {
  for (const { name, project, values } of systems) {
    const options = {
      target,
      out: folderOf(name, target),
      ...(project ? { project } : {}),
      ...(values ? { values } : {}),
    };
    await renderDeployment(options);
  }
};
const filesIn = async (folder: string, pattern: RegExp) =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !path.includes('/project/'));
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-validators-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describeReal('k8s', 'kubeconform', () => {
  beforeAll(() => rendered('k3s'));

  /** No package registry has schemas for the skipped kinds, which belong to Kustomize and Traefik. */
  const conform = (files: string[]) => {
    const location = join(k8sFolder, 'schemas');
    const { status, stdout, stderr } = spawnSync(
      join(k8sFolder, 'bin', 'kubeconform'),
      [
        ...[
          '-strict',
          '-output',
          'json',
          '-kubernetes-version',
          '1.37.0',
          '-skip',
          'Kustomization,Component,ServersTransport',
        ],
        ...[
          '-schema-location',
          location,
          '-schema-location',
          `${location}/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json`,
        ],
        ...files,
      ],
      { encoding: 'utf8' },
    );
    return { status, said: stdout + stderr };
  };

  it.each(systems)('accepts everything rendered for $name', async ({ name }) => {
    const files = await filesIn(folderOf(name, 'k3s'), /\.yaml$/);
    expect(files.length).toBeGreaterThan(5);
    const { status, said } = conform(files);
    expect([status, said], said).toEqual([0, expect.stringContaining('"resources": []')]);
  });

  it.each([
    ['base/platform.yaml', 'replicas: 2', 'replicas: two', /got string/],
    ['base/platform.yaml', 'readOnlyRootFilesystem', 'readonlyRootFilesystem', /additional propert/i],
    ['base/kafka.yaml', 'roles: [ controller, broker ]', 'roles: [ zookeeper ]', /controller/],
    ['base/kafka.yaml', 'v1\nkind: Kafka\n', 'v1beta2\nkind: Kafka\n', /schema/],
    ['base/kafka.yaml', '    version: 4', '    zookeeper: {}\n    version: 4', /additional propert/i],
    ['base/argo.yaml', 'triggers:', 'trigers:', /additional propert|missing propert/i],
    ['base/argo.yaml', 'clientId:', 'clientID:', /additional propert|missing propert/i],
    ['base/tls.yaml', 'secretName: platform-tls', 'secret: platform-tls', /secretName/],
    ['base/network.yaml', 'policyTypes', 'policyType', /additional propert/i],
    ['base/database.yaml', 'instances: 3', 'instances: three', /got string/, 'three machines'],
    ['base/database.yaml', 'isWALArchiver', 'isWalArchiver', /additional propert/i, 'three machines'],
    ['base/database.yaml', 'retentionPolicy: 30d', 'retentionPolicy: 30 days', /pattern/, 'three machines'],
    ['base/database.yaml', 'method: plugin', 'method: barman', /plugin/, 'three machines'],
    [
      'base/broker.yaml',
      'podManagementPolicy: Parallel',
      'podManagement: Parallel',
      /additional propert/i,
      'three machines with NATS',
    ],
    [
      'base/broker.yaml',
      'topologyKey:',
      'topology:',
      /topologyKey|additional propert/i,
      'three machines with NATS',
    ],
    [
      'base/platform.yaml',
      'maxReplicas: 9',
      'maximum: 9',
      /maxReplicas|additional propert/i,
      'three machines with NATS',
    ],
    [
      'base/backup.yaml',
      'concurrencyPolicy',
      'concurrency',
      /additional propert/i,
      'three machines with NATS',
    ],
    ['restore/job.yaml', 'backoffLimit: 0', 'backoffLimit: none', /got string/, 'a restore'],
    ['components/monitoring/service-monitor.yaml', 'endpoints:', 'endpoint:', /endpoint/],
  ])('detects a mistake in %s: %s → %s', async (file, right, wrong, said, system = 'a platform') => {
    const text = await readFile(join(folderOf(system, 'k3s'), file), 'utf8');
    expect(text).toContain(right);
    const path = join(dir, 'mistake.yaml');
    await writeFile(path, text.replace(right, wrong));
    const found = conform([path]);
    expect(found.status).toBe(1);
    expect(found.said).toMatch(said);
  });
});

describeReal('k8s', 'the Compose specification schema', () => {
  beforeAll(() => rendered('compose'));
  const validate = (files: string[]) => {
    const script = `
import json, sys, yaml, jsonschema
schema = json.load(open(sys.argv[1]))
found = [f"{file}: {list(error.absolute_path)}: {error.message[:200]}" for file in sys.argv[2:]
         for error in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(open(file)))]
print("\\n".join(found))
sys.exit(1 if found else 0)`;
    const { status, stdout, stderr } = spawnSync(
      join(k8sFolder, 'python', 'bin', 'python'),
      ['-c', script, join(k8sFolder, 'compose-spec.json'), ...files],
      { encoding: 'utf8' },
    );
    return { status, said: stdout + stderr };
  };

  it('accepts the compose.yaml of every system', () => {
    const files = systems.map(({ name }) => join(folderOf(name, 'compose'), 'compose.yaml'));
    expect(validate(files)).toEqual({ status: 0, said: '\n' });
  });

  it.each([
    ['condition: service_healthy', 'condition: healthy'],
    ['read_only: true', 'readonly: true'],
    ['retries: 4', 'retrys: 4'],
  ])('detects %s → %s', async (right, wrong) => {
    const text = await readFile(join(folderOf('a platform', 'compose'), 'compose.yaml'), 'utf8');
    expect(text).toContain(right);
    const path = join(dir, 'mistake-compose.yaml');
    await writeFile(path, text.replace(right, wrong));
    expect(validate([path]).status).toBe(1);
  });
});

describeReal('cloud-init', 'cloud-init schema', () => {
  beforeAll(() => rendered('cloud-init'));
  const schema = (file: string) => {
    const { status, stdout, stderr } = spawnSync(cloudInitSchema, [file], { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };

  it('accepts the user data of every system, and of a platform with an ACME certificate', async () => {
    const values = join(dir, 'acme.yaml');
    await writeFile(
      values,
      'hosts: [plant.example]\ncloudInit: { acme: { email: ops@plant.example }, keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me"] }\n',
    );
    await renderDeployment({ target: 'cloud-init', out: join(dir, 'acme'), values });
    const folders = [...systems.map(({ name }) => folderOf(name, 'cloud-init')), join(dir, 'acme')];
    for (const folder of folders) {
      const { status, said } = schema(join(folder, 'user-data.yaml'));
      expect([status, said]).toEqual([0, expect.stringContaining('Valid')]);
    }
  });

  it.each([
    ['#cloud-config\n', '# cloud-config\n'],
    ['permissions: "0644"', 'permissions: 420'],
    ['ssh_pwauth: false', 'ssh_pwauth: [no]'],
    ['lock_passwd: true', 'lock_password: true'],
  ])('detects %j → %j', async (right, wrong) => {
    const text = await readFile(join(folderOf('a platform', 'cloud-init'), 'user-data.yaml'), 'utf8');
    expect(text).toContain(right);
    const file = join(dir, 'mistake-user-data');
    await writeFile(file, text.replace(right, wrong));
    expect(schema(file).status).toBe(1);
  });
});

describeReal('systemd', 'systemd-analyze', () => {
  beforeAll(() => rendered('systemd'));

  it('accepts the units of every system, and detects a mistake', async () => {
    const verify = (files: string[]) =>
      spawnSync('systemd-analyze', ['verify', '--man=no', ...files], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C' },
      });
    const files: string[] = [];
    for (const { name } of systems) {
      for (const file of await filesIn(folderOf(name, 'systemd'), /\.service$/)) {
        // The units start Node from its path on another machine, which is replaced by its path on this machine.
        const text = await readFile(file, 'utf8');
        await writeFile(file, text.replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`));
        files.push(file);
      }
    }
    expect(files.length).toBeGreaterThan(6);
    const good = verify(files);
    expect([good.status, good.stderr.split('\n').filter((line) => line.includes(dir))]).toEqual([0, []]);
    const broken = join(dir, 'broken.service');
    await writeFile(broken, (await readFile(files[0]!, 'utf8')).replace('Restart=always', 'Restartt=always'));
    expect(verify([broken]).stderr).toContain('Restartt');
  });
});

describeReal('nats', 'rendered configurations and scripts', () => {
  it('include a NATS configuration that is valid with the secrets from secrets.sh', async () => {
    const out = folderOf('nats', 'compose');
    await renderDeployment({ target: 'compose', out });
    expect(spawnSync('sh', ['secrets.sh'], { cwd: out }).status).toBe(0);
    const text = (await readFile(join(out, 'nats/nats.conf'), 'utf8'))
      .replaceAll('/certs/', `${out}/certs/nats/`)
      .replace('../../run/secrets/nats/nats.conf', '../secrets/nats.conf')
      .replace('"/data"', JSON.stringify(join(out, 'data')));
    await writeFile(join(out, 'nats/here.conf'), text);
    const check = () =>
      spawnSync('nats-server', ['-t', '-c', 'nats/here.conf'], {
        cwd: out,
        encoding: 'utf8',
        env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      });
    expect(check().stderr).toContain('is valid');
    await rm(join(out, 'secrets/nats.conf'));
    expect(check().status).not.toBe(0);
  });

  it('contain no shell syntax beyond POSIX sh', async () => {
    for (const target of targetNames) await rendered(target);
    const templates = await filesIn(join(root, 'templates/deploy'), /\.sh$/);
    // Templates with values are checked both as rendered and with a word in place of each value.
    const scripts = await filesIn(dir, /\.sh$/);
    for (const [index, path] of templates.entries()) {
      const text = readFileSync(path, 'utf8').replace(/<(?:each|when|end)\b[^>]*>/g, '');
      const filled = join(dir, `${index}-${basename(path)}`);
      await writeFile(filled, text.replace(/<\w+(?:\.\w+)*>/g, 'x'));
      scripts.push(filled);
    }
    expect(scripts.length).toBeGreaterThan(6);
    const shell = existsSync('/bin/dash') ? '/bin/dash' : 'sh';
    for (const script of scripts)
      expect(spawnSync(shell, ['-n', script], { encoding: 'utf8' }).stderr, script).toBe('');
  });
});

describeReal('argo-lint', 'argo lint', () => {
  const lint = (...files: string[]) => {
    const env = { PATH: process.env.PATH, HOME: dir };
    const { status, stdout, stderr } = spawnSync(argoLintProgram, files, { encoding: 'utf8', env });
    return { status, said: stdout + stderr };
  };

  it('accepts a project’s pipeline with its schedule, and detects mistakes that a schema cannot detect', async () => {
    const project = join(dir, 'project');
    await cp(join(root, 'templates/motor-watch/aiot.yaml'), join(project, 'aiot.yaml'));
    const file = join(project, 'aiot.yaml');
    const yaml = await readFile(file, 'utf8');
    await writeFile(file, yaml.replace(/^pipeline:.*$/m, '$&\n  on: { cron: "0 3 * * *" }'));
    const out = join(dir, 'pipeline');
    await renderPipeline({ project, out });
    const [workflow, cron] = [join(out, 'workflow-template.yaml'), join(out, 'cron-workflow.yaml')];
    expect(lint(workflow, cron)).toEqual({ status: 0, said: expect.stringContaining('no linting errors') });
    const text = await readFile(workflow, 'utf8');
    const mistakes: [string, string, string][] = [
      ['template: train\n', 'template: trian\n', 'trian'],
      ['tasks.train.outputs.artifacts.network', 'tasks.train.outputs.artifacts.netwrok', 'netwrok'],
      ['depends: extract && drift', 'depends: extract && drfit', 'drfit'],
      ['workingDir:', 'workingDirectory:', 'workingDirectory'],
    ];
    const wrong = join(dir, 'wrong.yaml');
    for (const [right, mistake, said] of mistakes) {
      expect(text).toContain(right);
      await writeFile(wrong, text.replace(right, mistake));
      expect(lint(wrong), mistake).toEqual({ status: 1, said: expect.stringContaining(said) });
    }
    // The schedule is rejected without the template that it refers to.
    expect(lint(cron).status).toBe(1);
  });
});

describeReal('argo-lint', 'argo-events lint', () => {
  beforeAll(() => rendered('k3s'));

  const lint = (file: string) => {
    const { status, stdout, stderr } = spawnSync(argoEventsLintProgram, ['--strict', file], {
      encoding: 'utf8',
    });
    return { status, said: stdout + stderr };
  };

  it.each(['a platform', 'the guide'])(
    'accepts the event sources and sensors that start the pipeline of %s',
    async (name) => {
      const file = join(folderOf(name, 'k3s'), 'base/argo.yaml');
      const kinds = (await readFile(file, 'utf8')).match(/(?<=^kind: )(EventSource|Sensor)$/gm) ?? [];
      expect(kinds).toContain('Sensor');
      const { status, said } = lint(file);
      expect(status, said).toBe(0);
      expect(said.match(/(EventSource|Sensor)(?= is valid)/g)).toEqual(kinds);
    },
  );

  it.each([
    ['topic: control-message', 'topic: ""', 'topic'],
    ['eventSourceName: control-kafka', 'eventSourceName: ""', 'EventSourceName'],
    ['operation: submit', 'operation: sumbit', 'sumbit'],
    // The schemas cannot express this rule: a webhook is updated by a rolling update, and the others are
    // recreated.
    [
      '  kafka:\n',
      '  webhook: { hook: { endpoint: /run, method: POST, port: "12000" } }\n  kafka:\n',
      'recreate',
    ],
  ])('detects a mistake: %j → %j', async (right, mistake, told) => {
    const text = await readFile(join(folderOf('the guide', 'k3s'), 'base/argo.yaml'), 'utf8');
    expect(text).toContain(right);
    const wrong = join(dir, 'wrong-events.yaml');
    await writeFile(wrong, text.replace(right, mistake));
    expect(lint(wrong)).toEqual({ status: 1, said: expect.stringContaining(told) });
  });
});

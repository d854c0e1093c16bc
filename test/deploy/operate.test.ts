import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { root, runCli } from '../support/cli.js';
import { loose } from './systems.js';

/**
 * Writes stand-ins for kubectl, docker and systemctl that record their calls and print prepared output, so that these tests never
 * reach the real ones. The stand-in for openssl writes the files that `secrets.sh` requests; targets.real.test.ts runs that script
 * with the real openssl.
 */
async function standIns(dir: string): Promise<string> {
  const bin = join(dir, 'bin');
  await mkdir(bin);
  for (const name of ['kubectl', 'docker', 'systemctl', 'systemd-analyze', 'install']) {
    const lines = [
      '#!/bin/sh',
      `echo "$PWD: ${name} $*" >>"${dir}/calls"`,
      `if [ -e "${dir}/fails" ]; then cat "${dir}/fails" >&2; exit 1; fi`,
      `[ ! -e "${dir}/answer" ] || cat "${dir}/answer"`,
    ];
    await writeFile(join(bin, name), `${lines.join('\n')}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const openssl = [
    '#!/bin/sh',
    '[ "$1" != rand ] || exec echo 5e2c3e75',
    'while [ $# -gt 0 ]; do [ "$1" != -out ] || echo made >"$2"; shift; done',
  ];
  await writeFile(join(bin, 'openssl'), `${openssl.join('\n')}\n`, { mode: 0o755 });
  return bin;
}

describe('aiot deploy', () => {
  let dir: string;
  let out: string;
  let path: string | undefined;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-deploy-operate-'));
    out = join(dir, 'out');
    path = process.env.PATH;
    // The stand-ins need sh, cat and node. Their own folder comes first, so that no real kubectl is found.
    process.env.PATH = [await standIns(dir), '/usr/bin', '/bin', dirname(process.execPath)].join(delimiter);
  });
  afterEach(async () => {
    process.env.PATH = path;
    await rm(dir, { recursive: true, force: true });
  });
  const render = (target: string, ...more: string[]) =>
    runCli(['deploy', 'render', '--target', target, '--out', out, '--json', ...more]);
  const makeSecrets = () =>
    execFileSync('sh', ['secrets.sh'], {
      ...{ cwd: out, stdio: 'pipe' },
      env: { ...process.env, PATH: [join(dir, 'bin'), path].join(delimiter) },
    });
  const calls = async () =>
    (await readFile(join(dir, 'calls'), 'utf8').catch(() => ''))
      .trim()
      .split('\n')
      .filter((line) => line !== '');

  it('apply sends a cluster’s files in order: namespace, secrets, everything else', async () => {
    await render('k3s');
    const early = await runCli(['deploy', 'apply', out, '--yes', '--json']);
    expect([early.code, loose(early.json).error.code]).toEqual([4, 'AIOT_DEPLOY_NOTHING']);
    expect(loose(early.json).error.next).toContain('secrets.sh');
    makeSecrets();
    const planned = await runCli(['deploy', 'apply', out, '--dry-run']);
    expect(planned.stdout).toMatch(/kubectl apply --server-side -k \. +apply everything else/);
    const unasked = await runCli(['deploy', 'apply', out, '--json']);
    expect([unasked.code, loose(unasked.json).error.code]).toEqual([2, 'AIOT_USAGE']);
    expect(await calls()).toEqual([]);
    const { json, code } = await runCli(['deploy', 'apply', out, '--yes', '--json']);
    expect([code, json]).toMatchObject([0, { target: 'k3s', applied: true, dryRun: false }]);
    expect(await calls()).toEqual([
      `${out}: kubectl apply -f base/namespace.yaml`,
      `${out}: kubectl apply -k secrets`,
      `${out}: kubectl apply --server-side -k .`,
    ]);
  });

  it('apply stops at the first failure with its message, and rejects a mistake before running anything', async () => {
    await render('argocd');
    await writeFile(join(dir, 'fails'), 'no matches for kind "Application"\n');
    const { json, code } = await runCli(['deploy', 'apply', out, '--yes', '--json']);
    expect([code, loose(json).error]).toEqual([
      1,
      expect.objectContaining({
        code: 'AIOT_DEPLOY_FAILED',
        message: expect.stringContaining('no matches for kind "Application"'),
      }),
    ]);
    await writeFile(
      join(out, 'extra.yaml'),
      'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: YQ== }\n',
    );
    const before = (await calls()).length;
    const unfit = await runCli(['deploy', 'apply', out, '--yes', '--json']);
    expect([unfit.code, loose(unfit.json).error.code]).toEqual([6, 'AIOT_DEPLOY_UNFIT']);
    expect(await calls()).toHaveLength(before);
  });

  it('apply starts Compose files and units, and reports if there is nothing to apply', async () => {
    await render('compose');
    makeSecrets();
    await runCli(['deploy', 'apply', out, '--yes']);
    expect(await calls()).toEqual([`${out}: docker compose up --detach --wait`]);
    await rm(out, { recursive: true });
    await render('systemd', '--project', join(root, 'templates/har-imu'));
    const { json } = await runCli(['deploy', 'apply', out, '--dry-run', '--json']);
    expect(
      loose(json).steps.map(({ command }: { command: string[] }) => command.slice(0, 2).join(' ')),
    ).toEqual(['systemd-analyze verify', 'install -m', 'systemctl daemon-reload', 'systemctl enable']);
    await rm(out, { recursive: true });
    await render('cloud-init');
    expect((await runCli(['deploy', 'apply', out, '--yes', '--json'])).json).toMatchObject({
      error: { code: 'AIOT_USAGE' },
    });
    await rm(join(out, '.aiot-deploy.json'));
    expect((await runCli(['deploy', 'apply', out, '--yes', '--json'])).json).toMatchObject({
      error: { code: 'AIOT_DEPLOY_NOTHING' },
    });
  });

  it('status reports which parts of a cluster are ready, waiting or failing, and why', async () => {
    await render('k3s');
    const labels = (name: string) => ({ 'app.kubernetes.io/name': name });
    const items = [
      {
        kind: 'Deployment',
        metadata: { name: 'platform' },
        spec: { replicas: 2 },
        status: { readyReplicas: 2 },
      },
      { kind: 'StatefulSet', metadata: { name: 'database' }, spec: { replicas: 1 }, status: {} },
      { kind: 'StatefulSet', metadata: { name: 'broker' }, spec: { replicas: 1 }, status: {} },
      {
        kind: 'Pod',
        metadata: { name: 'database-0', labels: labels('database') },
        status: {
          containerStatuses: [
            {
              name: 'postgres',
              state: { waiting: { reason: 'CrashLoopBackOff' } },
              lastState: { terminated: { reason: 'OOMKilled' } },
            },
          ],
        },
      },
      {
        kind: 'Pod',
        metadata: { name: 'broker-0', labels: labels('broker') },
        status: {
          conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' }],
        },
      },
      { kind: 'PersistentVolumeClaim', metadata: { name: 'data-database-0' }, status: { phase: 'Bound' } },
      {
        kind: 'Kafka',
        metadata: { name: 'kafka' },
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      },
      {
        kind: 'Sensor',
        metadata: { name: 'pipeline' },
        status: { conditions: [{ type: 'Deployed', status: 'False', message: 'no bus' }] },
      },
    ];
    await writeFile(join(dir, 'answer'), JSON.stringify({ kind: 'List', items }));
    const { json, code } = await runCli(['deploy', 'status', out, '--json']);
    expect(code).toBe(6);
    const parts = loose(json).parts as { name: string; state: string; reason: string | null }[];
    expect(Object.fromEntries(parts.map(({ name, state, reason }) => [name, [state, reason]]))).toEqual({
      platform: ['ready', null],
      database: ['failing', 'postgres: CrashLoopBackOff, after OOMKilled'],
      broker: ['waiting', '0/3 nodes are available'],
      'data-database-0': ['ready', null],
      kafka: ['ready', null],
      pipeline: ['waiting', 'no bus'],
    });
    expect((await calls())[0]).toContain(
      'kubectl get deployments.apps,statefulsets.apps,persistentvolumeclaims,pods,kafkas.kafka.strimzi.io',
    );
    expect((await calls())[0]).toContain('--namespace aiot --output json');
    expect((await runCli(['deploy', 'status', out])).stdout).toMatch(
      /database +StatefulSet +failing +0\/1 +postgres: CrashLoopBackOff/,
    );
  });

  it('status reports the state of Compose services in both output formats, and of units', async () => {
    await render('compose');
    const rows = [
      { Service: 'platform', State: 'running', Health: 'healthy' },
      { Service: 'database', State: 'running', Health: 'starting' },
      { Service: 'objects', State: 'restarting', Health: '' },
    ];
    const states = async () =>
      loose((await runCli(['deploy', 'status', out, '--json'])).json).parts.map(
        ({ state }: { state: string }) => state,
      );
    await writeFile(join(dir, 'answer'), rows.map((row) => JSON.stringify(row)).join('\n'));
    expect(await states()).toEqual(['ready', 'waiting', 'failing']);
    await writeFile(join(dir, 'answer'), JSON.stringify(rows));
    expect(await states()).toEqual(['ready', 'waiting', 'failing']);
    await rm(out, { recursive: true });
    await render('systemd');
    await writeFile(
      join(dir, 'answer'),
      'Id=aiot-platform.service\nActiveState=failed\nSubState=failed\nResult=exit-code\n',
    );
    expect((await runCli(['deploy', 'status', out, '--json'])).json).toMatchObject({
      ok: false,
      parts: [{ name: 'aiot-platform.service', state: 'failing', reason: 'failed, failed, exit-code' }],
    });
  });

  it('diff shows the changes that rendering would make after edits or with new values', async () => {
    await render('argocd');
    expect(await runCli(['deploy', 'diff', out, '--json'])).toMatchObject({
      code: 0,
      json: { same: true, files: [] },
    });
    const values = join(dir, 'values.yaml');
    await writeFile(values, 'namespace: plant\n');
    const { stdout, code } = await runCli(['deploy', 'diff', out, '--values', values]);
    expect(code).toBe(6);
    expect(stdout).toContain('-    namespace: aiot\n+    namespace: plant\n');
    const file = join(out, 'application.yaml');
    await writeFile(file, `${await readFile(file, 'utf8')}# mine\n`);
    const { json } = await runCli(['deploy', 'diff', out, '--json']);
    expect(loose(json).files).toEqual([
      {
        target: 'argocd',
        path: 'application.yaml',
        did: 'edited',
        diff: expect.stringMatching(/@@ -\d+,4 \+\d+,3 @@\n.*\n.*\n.*\n-# mine\n$/),
      },
    ]);
    expect((await runCli(['deploy', 'diff', dir])).code).toBe(4);
  });
});

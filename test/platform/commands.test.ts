import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { listSchemas, statusSchema } from '../../src/lib/api/api.js';
import { devicesChangedSchema } from '../../src/lib/api/change-devices.js';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceSchema } from '../../src/lib/api/fields.js';
import { type Deployed, deployedSchema } from '../../src/lib/api/rollouts/deploy.js';
import { shownModelSchema } from '../../src/lib/api/show.js';
import { addContext, readContexts, removeContext, useContext } from '../../src/lib/core/contexts.js';
import { configFolder } from '../../src/lib/core/folders.js';
import { downResultSchema } from '../../src/lib/platform/up/detached.js';
import { type UpResult, upResultSchema } from '../../src/lib/platform/up/options.js';
import { up } from '../../src/lib/platform/up/up.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { root, runCli } from '../support/cli.js';
import { fakeDevice } from '../support/fake-device.js';

let folder: string;
let result: UpResult;
const data = () => join(folder, 'platform');
const upArgs = (...more: string[]) => [
  'up',
  '--data',
  data(),
  '--http-port',
  '0',
  '--mqtt-port',
  '0',
  '--detach',
  '--json',
  ...more,
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-up-'));
  // A separate configuration, because other test files write theirs at the same time.
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  const started = await runCli(upArgs());
  expect(started.code, started.stdout).toBe(0);
  result = upResultSchema.parse(started.json);
});
afterAll(async () => {
  await runCli(['down', '--data', data()]);
  await rm(folder, { recursive: true, force: true });
});

/** Runs a command, expects exit code 0, and parses its result with the schema. */
async function ok<T>(schema: ZodType<T>, argv: string[]): Promise<T> {
  const { code, json, stdout, stderr } = await runCli([...argv, '--json']);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return schema.parse(json);
}

async function refused(argv: string[], code: string, exit: number): Promise<void> {
  const answer = await runCli([...argv, '--json']);
  expect([(answer.json as { error: { code: string } }).error.code, answer.code]).toEqual([code, exit]);
}

describe('aiot up', () => {
  it('prints all addresses and the token on the first start', async () => {
    expect(result.urls.http).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(result.urls.mqtts).toMatch(/^mqtts:\/\/127\.0\.0\.1:\d+$/);
    expect(result.urls.mqtt).toBeUndefined();
    expect(await readFile(result.ca, 'utf8')).toContain('BEGIN CERTIFICATE');
    expect(result.token).toMatch(/^aiot_/);
  });

  it('creates and selects a context, with a signing key that only its user can read', async () => {
    const { current, contexts } = await readContexts();
    expect(result.context).toBe(current);
    expect(contexts[current ?? '']).toMatchObject({ url: result.urls.http, token: result.token });
    const key = join(configFolder(), 'keys', `${current}.pem`);
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    const client = await clientFor();
    expect((await client.trust.get())?.version).toBe(1);
    await client.close();
  });

  it('reports that --never checked nothing if no message arrived on a stream', async () => {
    const { code, stderr } = await runCli([
      ...['stream', 'tail', 'aiot:///nobody/#', '--never', 'x > 1', '--for', '300ms'],
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain('0 messages checked, none matched x > 1');
    expect(stderr).toContain('no message arrived, so --never checked nothing');
  });

  it('does not start on a folder where a platform is running', async () => {
    const again = await runCli(upArgs());
    expect(again.code).toBe(1);
    const stop = `To change its options, stop it with \`aiot down --data ${data()}\`, and start it again. To start another platform, choose another folder with --data.`;
    const message = `a platform is already running on ${data()}, at ${result.urls.http} (pid ${result.pid})`;
    expect((again.json as { error: object }).error).toMatchObject({
      code: 'AIOT_PLATFORM_RUNNING',
      message,
      next: `To see it, run \`aiot status\`. ${stop}`,
    });
    // From another context, `aiot status` alone would show another platform.
    const own = (await readContexts()).current!;
    await addContext('elsewhere', { url: 'https://127.0.0.1:9', token: `aiot_${'A'.repeat(43)}` }, {});
    await useContext('elsewhere');
    const beside = await runCli(upArgs());
    await useContext(own);
    await removeContext('elsewhere');
    expect((beside.json as { error: object }).error).toMatchObject({
      message,
      next: `To see it, run \`aiot status --context ${own}\`. ${stop}`,
    });
  });

  it('reports a port in use and how to fix it, and leaves nothing running', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    const other = join(folder, 'other');
    for (const flag of ['--http-port', '--mqtt-port']) {
      const rest = flag === '--http-port' ? '--mqtt-port' : '--http-port';
      const args = ['up', '--data', other, flag, String(port), rest, '0', '--detach', '--json'];
      const { json, code } = await runCli(args);
      expect(code).toBe(1);
      expect(json).toMatchObject({
        error: {
          code: 'AIOT_PORT_IN_USE',
          message: expect.stringContaining(String(port)),
          next: expect.stringContaining(`${flag} 0`),
        },
      });
      await refused(['down', '--data', other], 'AIOT_PLATFORM_NOT_RUNNING', 4);
    }
    server.close();
    // A failed start does not use up the token, which is printed only once.
    const free = ['--http-port', '0', '--mqtt-port', '0', '--context', 'after-all'];
    const args = ['up', '--data', other, ...free, '--detach', '--json'];
    expect((await runCli(args)).json).toMatchObject({ token: expect.stringMatching(/^aiot_/) });
    expect((await runCli(['down', '--data', other])).code).toBe(0);
  });

  it('never overwrites the context of another platform', async () => {
    const elsewhere = join(folder, 'elsewhere');
    const args = [
      'up',
      '--data',
      elsewhere,
      '--http-port',
      '0',
      '--mqtt-port',
      '0',
      '--context',
      result.context ?? '',
    ];
    await refused(args, 'AIOT_ALREADY_EXISTS', 2);
    const own = await up({ data: elsewhere, host: '127.0.0.1', httpPort: 0, mqttPort: 0, newToken: false });
    expect(own.result.context).toBe(`${result.context}-2`);
    await own.stop();
  });

  it('rejects a data folder that is a file', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const args = ['up', '--data', file, '--http-port', '0', '--mqtt-port', '0'];
    await refused(args, 'AIOT_FILE_NOT_WRITABLE', 1);
    await refused([...args, '--detach'], 'AIOT_FILE_NOT_WRITABLE', 1);
  });

  it('rejects a data folder with a damaged database', async () => {
    const damaged = join(folder, 'damaged');
    const { mkdir } = await import('node:fs/promises');
    await mkdir(damaged);
    await writeFile(
      join(damaged, 'state.db'),
      'this is no database, but it is long enough to be looked at '.repeat(40),
    );
    await refused(
      ['up', '--data', damaged, '--http-port', '0', '--mqtt-port', '0'],
      'AIOT_FILE_MALFORMED',
      2,
    );
  });
});

describe('aiot up in the foreground', () => {
  it('runs until it is interrupted, then exits immediately and leaves nothing running', async () => {
    const own = join(folder, 'foreground');
    const args = ['up', '--data', own, '--http-port', '0', '--mqtt-port', '0', '--json'];
    const child = spawn(process.execPath, [join(root, 'bin', 'dev.js'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { pid, urls } = upResultSchema.parse(JSON.parse(line));
    expect(pid).toBe(child.pid);
    await expect(fetch(`${urls.http}/healthz`)).rejects.toThrow();
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    await refused(['down', '--data', own], 'AIOT_PLATFORM_NOT_RUNNING', 4);
  });
});

describe('the log of a foreground platform', () => {
  /** Returns the first line that a first start prints on standard error. */
  async function firstLine(...more: string[]): Promise<string> {
    const own = join(folder, `log-${more.at(-1) ?? 'pipe'}`);
    const args = ['up', '--data', own, '--http-port', '0', '--mqtt-port', '0', ...more];
    const child = spawn(process.execPath, [join(root, 'bin', 'dev.js'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = once(child, 'exit');
    const lines = createInterface({ input: child.stderr });
    const [first] = (await once(lines, 'line')) as [string];
    await once(createInterface({ input: child.stdout }), 'line');
    child.kill('SIGINT');
    await ended;
    return first;
  }

  it('is JSON if piped, and text with --log text', async () => {
    const fields = { level: 30, msg: 'wrote the certificate revocation list', certificates: 0 };
    expect(JSON.parse(await firstLine())).toMatchObject(fields);
    expect(JSON.parse(await firstLine('--log', 'json'))).toMatchObject(fields);
    expect(await firstLine('--log', 'text')).toMatch(
      /^20\S+ info wrote the certificate revocation list file="\S+" certificates=0$/,
    );
  });
});

describe('aiot down', () => {
  it('exits with 4 if no platform is running', () =>
    refused(['down', '--data', join(folder, 'none')], 'AIOT_PLATFORM_NOT_RUNNING', 4));

  it('stops the platform; the next up prints no new token and updates the context', async () => {
    const { current: other } = await readContexts();
    expect(other).not.toBe(result.context);
    expect(await ok(downResultSchema, ['down', '--data', data()])).toEqual({
      pid: result.pid,
      data: data(),
      urls: result.urls,
      restart: { words: [], secret: [] },
      // Another context is the current one.
      ownContext: result.context,
      foreignContext: other,
      context: null,
      otherContext: null,
    });
    await refused(['status'], 'AIOT_PLATFORM_UNREACHABLE', 1);
    const next = await ok(upResultSchema, upArgs().slice(0, -1));
    expect(next.token).toBeUndefined();
    expect(next.context).toBe(result.context);
    const { contexts } = await readContexts();
    expect(contexts[result.context ?? '']).toMatchObject({ url: next.urls.http, token: result.token });
    await ok(statusSchema, ['status', '--context', result.context ?? '']);
    result = next;
  });

  it('detects the stale pid of a killed platform', async () => {
    process.kill(result.pid, 'SIGKILL');
    await expect.poll(async () => (await runCli(['down', '--data', data()])).code).toBe(4);
    result = await ok(
      upResultSchema,
      upArgs('--new-token').filter((arg) => arg !== '--json'),
    );
    expect(result.token).toMatch(/^aiot_/);
  });
});

describe('aiot status', () => {
  it('shows the current platform', async () => {
    const status = await ok(statusSchema, ['status', '--context', result.context ?? '']);
    expect(status.urls.http).toBe(result.urls.http);
  });

  it('exits with 4 if the context does not exist', () =>
    refused(['status', '--context', 'nowhere'], 'AIOT_CONTEXT_NOT_FOUND', 4));
});

describe('devices', () => {
  const context = () => ['--context', result.context ?? ''];

  it('are provisioned, listed and shown', async () => {
    const out = join(folder, 'dev-1');
    const made = await ok(provisionedDeviceSchema, [
      ...['device', 'provision', 'dev-1', '--type', 'virtual', '--out', out],
      ...context(),
    ]);
    expect(made.files.map((file) => file.slice(out.length + 1))).toEqual([
      ...['device.key', 'device.crt', 'ca.crt', 'trust.json', 'device.json'],
    ]);
    expect((await stat(join(out, 'device.key'))).mode & 0o777).toBe(0o600);
    const list = await ok(listSchemas.devices.shape.devices, ['device', 'list', ...context()]);
    expect(list).toMatchObject([{ name: 'dev-1', id: made.id, fingerprint: made.certificate.fingerprint }]);
    expect(await ok(deviceSchema, ['device', 'show', 'dev-1', ...context()])).toEqual(list[0]);
    expect((await runCli(['device', 'list', ...context()])).stdout).toContain('dev-1');
  });

  it.each([
    [['device', 'provision', 'dev-1', '--out', 'again'], 'AIOT_ALREADY_EXISTS', 2],
    [['device', 'provision', 'a/b', '--out', 'again'], 'AIOT_USAGE', 2],
    [['device', 'provision', 'dev-9'], 'AIOT_USAGE', 2],
    [['device', 'show', 'nobody'], 'AIOT_NOT_FOUND', 4],
    [['device', 'list', '--context', 'nowhere'], 'AIOT_CONTEXT_NOT_FOUND', 4],
  ])('are not affected by the invalid command %j', async (argv, code, exit) => {
    const own = argv.includes('--context') ? [] : context();
    const placed = argv.map((arg) => (arg === 'again' ? join(folder, 'again') : arg));
    await refused([...placed, ...own], code, exit);
    await expect(stat(join(folder, 'again'))).rejects.toThrow();
  });

  it('are revoked permanently, which frees the name', async () => {
    const provision = (out: string) =>
      ok(provisionedDeviceSchema, [
        ...['device', 'provision', 'dev-2', '--out', join(folder, out)],
        ...context(),
      ]);
    const { id } = await provision('dev-2');
    expect(
      await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'dev-2', ...context()]),
    ).toMatchObject({
      changed: 1,
      devices: [{ name: 'dev-2', after: { state: 'revoked' } }],
    });
    expect((await provision('dev-2-again')).id).not.toBe(id);
    await refused(['device', 'revoke', '--yes', 'nobody', ...context()], 'AIOT_NOT_FOUND', 4);
    await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'dev-2', ...context()]);
  });
});

describe('models', () => {
  const context = () => ['--context', result.context ?? ''];

  it('are listed, shown and deployed; deploying an older version signs a new manifest', async () => {
    const client = await clientFor(result.context);
    const key = await operatorKey(result.context ?? '');
    const first = await pushTiny(client, key);
    await pushTiny(client, key, { seed: 1 });
    await client.close();
    const models = await ok(listSchemas.models.shape.models, ['model', 'list', ...context()]);
    expect(models).toMatchObject([{ name: 'tiny', versions: 2, latest: { version: 2 } }]);
    expect(await ok(shownModelSchema, ['model', 'show', 'tiny@1', ...context()])).toMatchObject({
      ...first,
      live: { windows: 0, unlabelled: 0 },
    });

    const device = await fakeDevice(result.urls.mqtts, join(folder, 'dev-1'), 'dev-1');
    const deploy = (version: number) =>
      runCli(['model', 'deploy', `tiny@${version}`, '--selector', 'all', '--json', ...context()]);
    const back = deploy(1);
    expect(await device.heard(1)).toMatchObject({ version: 1, sequence: 3 });
    await device.report('COMMITTED', {
      model: { name: 'tiny', version: 1, sequence: 3, digest: first.digest },
    });
    const done = await back;
    expect(done.code).toBe(0);
    expect(deployedSchema.parse(done.json)).toMatchObject({ state: 'done', releases: [{ sequence: 3 }] });
    expect(done.stderr).toContain('dev-1: committed');

    const failing = deploy(2);
    await device.heard(2);
    await device.report('ROLLED_BACK', { error: { code: 'AIOT_GOLDEN_FAILED', message: 'no' } });
    const failed = await failing;
    expect(failed.code).toBe(1);
    expect((failed.json as Deployed).devices[0]).toMatchObject({ state: 'rolledBack' });
    await device.client.endAsync(true);
  });

  it.each([
    [['model', 'show', 'tiny@9'], 'AIOT_NOT_FOUND', 4],
    [['model', 'show', 'tiny'], 'AIOT_USAGE', 2],
    [['model', 'deploy', 'tiny@1', '--selector', 'name=nobody'], 'AIOT_ROLLOUT_EMPTY', 4],
    [['model', 'deploy', 'tiny@1', '--selector', 'colour=='], 'AIOT_SELECTOR_INVALID', 2],
    [['model', 'deploy', 'tiny@1'], 'AIOT_USAGE', 2],
    [['model', 'deploy', 'tiny@1', '--selector', 'all', '--timeout', '5'], 'AIOT_USAGE', 2],
    [['model', 'list', '--context', 'nowhere'], 'AIOT_CONTEXT_NOT_FOUND', 4],
  ])('are not affected by the invalid command %j', (argv, code, exit) =>
    refused(argv.includes('--context') ? argv : [...argv, ...context()], code, exit),
  );
});

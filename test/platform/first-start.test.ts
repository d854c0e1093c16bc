import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { readText } from '../../src/lib/core/files.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { root, runCli } from '../support/cli.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-first-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Starts the platform in a separate process, which may be killed. */
function start(dataDir: string) {
  const options = JSON.stringify({ dataDir, httpPort: 0, mqttPort: 0 });
  const child = spawn(process.execPath, [join(root, 'test/platform/kills/child.mjs'), options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = once(child, 'exit');
  return {
    /** The platform's output, once it is ready. */
    async ready() {
      while (!out.includes('\n')) {
        if (child.exitCode !== null) throw new Error(`the platform did not start:\n${err}`);
        await delay(20);
      }
      return JSON.parse(out) as { urls: { http: string }; ca: string; token?: string };
    },
    /** Kills the process as soon as the file exists. Returns the output if the platform was ready by then. */
    async killAt(path: string) {
      while (!existsSync(path) && out === '' && child.exitCode === null) await delay(1);
      child.kill('SIGKILL');
      await ended;
      return out === '' ? null : (JSON.parse(out) as { token?: string });
    },
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('a first start', () => {
  it('is completed by the next start if it is killed, at any step', async () => {
    const data = join(folder, 'data');
    let told: { token?: string } = {};
    let cut = 0;
    for (const step of ['lock', 'state.db', 'pki/ca.key', 'pki/ca.crt', 'telemetry.db', 'pki/server.crt']) {
      const said = await start(data).killAt(join(data, step));
      if (said === null) cut++;
      else told = said;
    }
    expect(cut).toBeGreaterThanOrEqual(4);
    const last = start(data);
    try {
      const { urls, ca, token } = await last.ready();
      // The last start prints a token, unless an earlier start had printed it before it was killed.
      const known = token ?? told.token ?? '';
      const client = createClient({ url: urls.http, ca: await readText(ca), token: known });
      await expect(client.status()).resolves.toMatchObject({ ready: true, warnings: [] });
      await client.close();
    } finally {
      await last.end();
    }
  }, 240_000);

  it('succeeds for one of two concurrent starts; the other reports the running process', async () => {
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    const data = join(folder, 'platform');
    const args = ['up', '--data', data, '--http-port', '0', '--mqtt-port', '0', '--detach', '--json'];
    const run = async () => {
      const child = spawn(process.execPath, [join(root, 'bin', 'dev.js'), ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let out = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text;
      });
      const [code] = (await once(child, 'exit')) as [number];
      return { code, json: JSON.parse(out) as Record<string, unknown> };
    };
    const both = await Promise.all([run(), run()]);
    const down = await runCli(['down', '--data', data, '--json']);
    const [won, lost] = both.sort((a, b) => a.code - b.code);
    expect(won).toMatchObject({
      code: 0,
      json: { pid: (down.json as { pid: number }).pid, context: 'local' },
    });
    expect(won?.json.token).toMatch(/^aiot_/);
    expect(lost).toMatchObject({
      code: 1,
      json: {
        error: {
          code: 'AIOT_PLATFORM_RUNNING',
          message: expect.stringContaining(`(pid ${won?.json.pid})`),
          next: expect.stringContaining(`aiot down --data ${data}`),
        },
      },
    });
  }, 240_000);
});

describe('a crashed platform', () => {
  it('is reported as not running, and its log can be read', async () => {
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    const data = join(folder, 'platform');
    const args = [
      'up',
      '--data',
      data,
      '--http-port',
      '0',
      '--mqtt-port',
      '0',
      '--plain',
      '--plain-port',
      '0',
    ];
    const { json } = await runCli([...args, '--detach', '--json']);
    const { pid } = json as { pid: number };
    process.kill(pid, 'SIGKILL');
    await expect
      .poll(() => runCli(['status', '--json']), { timeout: 10_000 })
      .toMatchObject({ code: 1, json: { error: { code: 'AIOT_PLATFORM_UNREACHABLE' } } });
    const log = await runCli(['platform', 'logs', '--data', data, '--json']);
    expect([log.code, log.stdout]).toEqual([0, expect.stringContaining('MQTT without TLS')]);
    expect(await runCli(['down', '--data', data, '--json'])).toMatchObject({
      code: 4,
      json: { error: { code: 'AIOT_PLATFORM_NOT_RUNNING' } },
    });
  }, 120_000);
});

it.each(['--mqtt-port', '--http-port', '--ws-port', '--ddi-port'])(
  'a first start with a taken %s leaves no data folder, and the next start is a first start',
  async (flag) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const dataDir = join(folder, 'data');
    const options = {
      dataDir,
      httpPort: flag === '--http-port' ? port : 0,
      mqttPort: flag === '--mqtt-port' ? port : 0,
      ...(flag === '--ws-port' ? { wsPort: port } : {}),
      ...(flag === '--ddi-port' ? { ddiPort: port } : {}),
    };
    const refused = { code: 'AIOT_PORT_IN_USE', message: expect.stringContaining(`${port}`) };
    await expect(startPlatform(options)).rejects.toMatchObject(refused);
    expect(existsSync(dataDir)).toBe(false);
    const first = await startPlatform({ dataDir, httpPort: 0, mqttPort: 0 });
    expect(first.token).toMatch(/^aiot_/);
    await first.stop();
    // A later start that fails keeps the existing data.
    const before = await readFile(join(dataDir, 'pki', 'ca.crt'), 'utf8');
    await expect(startPlatform(options)).rejects.toMatchObject(refused);
    expect(await readFile(join(dataDir, 'pki', 'ca.crt'), 'utf8')).toBe(before);
    const again = await startPlatform({ dataDir, httpPort: 0, mqttPort: 0 });
    expect(again.token).toBeUndefined();
    await again.stop();
    await new Promise((resolve) => taken.close(resolve));
  },
);

it('a failed first start leaves an existing folder empty', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  await expect(startPlatform({ dataDir: folder, httpPort: port, mqttPort: 0 })).rejects.toMatchObject({
    code: 'AIOT_PORT_IN_USE',
  });
  expect(await readdir(folder)).toEqual([]);
  await new Promise((resolve) => taken.close(resolve));
});

it('a concurrent start deletes nothing from the other’s folder', async () => {
  const dataDir = join(folder, 'data');
  const options = { dataDir, httpPort: 0, mqttPort: 0 };
  const both = await Promise.allSettled([startPlatform(options), startPlatform(options)]);
  const started = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  expect(started).toHaveLength(1);
  expect(existsSync(join(dataDir, 'pki', 'ca.crt'))).toBe(true);
  await started[0]!.stop();
});

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { describeReal } from '../support/real.js';

describeReal('nats', 'a NATS server with rendered files', () => {
  let dir: string;
  let secrets: Record<string, string>;
  let server: ChildProcess | undefined;
  let client: NatsConnection;
  let port: number;
  let monitor: number;
  const environment = () => ({ ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, ...secrets });

  const start = async (env: NodeJS.ProcessEnv) => {
    server = spawn(
      'nats-server',
      ['-c', 'nats.conf', '-a', '127.0.0.1', '-p', String(port), '-m', String(monitor)],
      {
        cwd: dir,
        env,
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let log = '';
    server.stderr?.on('data', (chunk) => {
      log += chunk;
    });
    let isClosed = false;
    // After this event, the log is complete.
    server.once('close', () => {
      isClosed = true;
    });
    for (let tries = 0; tries < 1200 && !isClosed; tries++) {
      if (log.includes('Server is ready')) return log;
      await delay(25);
    }
    return log;
  };
  const end = async () => {
    if (!server || server.exitCode !== null) return;
    server.kill('SIGTERM');
    await once(server, 'exit');
  };
  const join_ = async (tls: object) =>
    connect({
      servers: `127.0.0.1:${port}`,
      token: secrets.NATS_TOKEN ?? '',
      tls: tls as never,
      timeout: 3000,
    });

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-nats-rendered-'));
    [port, monitor] = [await freePort(), await freePort()];
    const { code } = await runCli([
      'deploy',
      'render',
      '--target',
      'nats',
      '--out',
      dir,
      '--project',
      'templates/har-imu',
    ]);
    expect(code).toBe(0);
    execFileSync('sh', ['prepare.sh', '192.168.1.10', 'pi.local'], { cwd: dir, stdio: 'pipe' });
    const lines = (await readFile(join(dir, 'nats.env'), 'utf8')).trim().split('\n');
    secrets = Object.fromEntries(lines.map((line) => line.split('=') as [string, string]));
  });
  afterAll(async () => {
    await client?.close();
    await end();
    await rm(dir, { recursive: true, force: true });
  });

  it('has a configuration that nats-server accepts, but only with its secrets', () => {
    const check = (env: NodeJS.ProcessEnv) =>
      spawnSync('nats-server', ['-t', '-c', 'nats.conf'], { cwd: dir, env, encoding: 'utf8' });
    const good = check(environment());
    expect([good.status, good.stderr]).toEqual([
      0,
      expect.stringContaining('configuration file nats.conf is valid'),
    ]);
    expect(check({ ...environment(), NATS_TOKEN: undefined }).status).not.toBe(0);
  });

  it('keeps its secrets out of rendered files and private to their owner', async () => {
    expect(Object.keys(secrets)).toEqual(['NATS_TOKEN', 'JS_KEY']);
    expect(new Set(Object.values(secrets)).size).toBe(2);
    const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    for (const entry of files) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const text = await readFile(path, 'latin1');
      if (entry.name === 'nats.env') continue;
      for (const secret of Object.values(secrets)) expect(text, path).not.toContain(secret);
    }
    expect((await stat(join(dir, 'nats.env'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir, 'certs/server.key'))).mode & 0o777).toBe(0o600);
    const said = execFileSync(
      'openssl',
      ['x509', '-in', 'certs/server.crt', '-noout', '-ext', 'subjectAltName'],
      { cwd: dir, encoding: 'utf8' },
    );
    expect(said).toContain(
      'DNS:nats, DNS:localhost, IP Address:127.0.0.1, IP Address:192.168.1.10, DNS:pi.local',
    );
    const before = await readFile(join(dir, 'certs/server.crt'), 'utf8');
    expect(execFileSync('sh', ['prepare.sh'], { cwd: dir, encoding: 'utf8' })).toBe('');
    expect(await readFile(join(dir, 'certs/server.crt'), 'utf8')).toBe(before);
  });

  it('starts under the name nats, requires TLS and the token, and reports its health on loopback', async () => {
    expect(await start(environment())).toContain('Server is ready');
    const ca = await readFile(join(dir, 'certs/ca.crt'), 'utf8');
    client = await join_({ ca, servername: 'nats' });
    expect(client.info).toMatchObject({
      server_name: 'nats',
      tls_required: true,
      auth_required: true,
      jetstream: true,
    });
    await expect(join_({ ca, servername: 'other.example' })).rejects.toThrow();
    await expect(
      connect({ servers: `127.0.0.1:${port}`, token: 'wrong', tls: { ca, servername: 'nats' } as never }),
    ).rejects.toMatchObject({ code: 'AUTHORIZATION_VIOLATION' });
    const health = await fetch(`http://127.0.0.1:${monitor}/healthz?js-enabled-only=true`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }]);
    const { config } = (await (await fetch(`http://127.0.0.1:${monitor}/jsz?config=1`)).json()) as {
      config: object;
    };
    expect(config).toMatchObject({ max_memory: 2 ** 30, max_storage: 2 ** 30 });
  });

  it('accepts the stream and the consumers as their files define them', async () => {
    const asked = async (api: string, file: string, wrap: (config: object) => object) => {
      const definition = JSON.parse(await readFile(join(dir, file), 'utf8')) as object;
      const answer = await client.request(`$JS.API.${api}`, JSON.stringify(wrap(definition)));
      const said = answer.json<{ error?: object; config: object }>();
      expect(said.error, file).toBeUndefined();
      expect(said.config, file).toMatchObject(definition);
    };
    // The nats tool sends these requests for `stream add --config` and `consumer add --config`.
    await asked('STREAM.CREATE.RPI', 'streams/RPI.json', (config) => config);
    for (const file of (await readdir(join(dir, 'consumers'))).sort()) {
      const name = file.replace('.json', '');
      await asked(`CONSUMER.DURABLE.CREATE.RPI.${name}`, `consumers/${file}`, (config) => ({
        stream_name: 'RPI',
        config,
      }));
    }
    // Our own tool then has nothing left to do.
    process.env.AIOT_STREAM_TOKEN = secrets.NATS_TOKEN;
    const at = `nats://127.0.0.1:${port}?servername=nats`;
    const { json } = await runCli([
      ...[
        'stream',
        'create',
        join(dir, 'streams.yaml'),
        '--at',
        at,
        '--ca',
        join(dir, 'certs/ca.crt'),
        '--json',
      ],
    ]).finally(() => {
      delete process.env.AIOT_STREAM_TOKEN;
    });
    expect(json).toMatchObject({ topics: [{ name: 'RPI', did: 'unchanged' }] });
  });

  it('encrypts its store, and restores it after a restart only with the same key', async () => {
    const words = 'a-motion-that-nobody-shall-read';
    await client.jetstream().publish('output', Buffer.from(words.repeat(20)));
    await client.close();
    await end();
    const files = (await readdir(join(dir, 'store'), { recursive: true, withFileTypes: true })).filter(
      (entry) => entry.isFile(),
    );
    expect(files.some(({ name }) => name.endsWith('.blk'))).toBe(true);
    for (const entry of files) {
      const bytes = await readFile(join(entry.parentPath ?? entry.path, entry.name), 'latin1');
      expect(bytes).not.toContain(words);
    }
    expect(await start({ ...environment(), JS_KEY: 'kother' })).toMatch(/decrypt|unable to recover|error/i);
    await end();
    expect(await start(environment())).toContain('Server is ready');
    client = await join_({ ca: await readFile(join(dir, 'certs/ca.crt'), 'utf8'), servername: 'nats' });
    const found = await (await client.jetstreamManager()).streams.getMessage('RPI', {
      last_by_subj: 'output',
    });
    expect(Buffer.from(found.data).toString()).toContain(words);
  });
});

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { createClient } from '../../src/lib/api/client.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { makeCertificates } from '../support/certificates.js';
import { root, runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { connectDevice } from '../support/mqtt.js';
import { natsServerProgram } from '../support/nats.js';
import { testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { loose } from './systems.js';

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
      timeout: 20_000,
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

describeReal('nats-server', 'three NATS servers with rendered files', () => {
  const endings: (() => unknown)[] = [];
  afterAll(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  type Env = { name: string; value?: string; valueFrom?: Record<string, { key: string; fieldPath: string }> };
  /** The container's environment as Kubernetes computes it, in order, with the secrets from secrets.sh. */
  const environment = (env: Env[], secrets: Record<string, string>, pod: string) => {
    const all: Record<string, string> = {};
    for (const { name, value, valueFrom } of env) {
      const found = valueFrom?.fieldRef ? pod : secrets[valueFrom?.secretKeyRef?.key ?? ''];
      all[name] = valueFrom
        ? (found ?? '')
        : String(value).replaceAll(/\$\((\w+)\)/g, (_, key) => all[key] ?? '');
    }
    return all;
  };

  it('let a platform with the rendered environment serve devices, and survive the loss of each server', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-nats-broker-'));
    endings.push(() => rm(folder, { recursive: true, force: true }));
    const out = join(folder, 'k3s');
    const values = join(root, 'test/deploy/three-nats.yaml');
    expect(
      (await runCli(['deploy', 'render', '--target', 'k3s', '--values', values, '--out', out])).code,
    ).toBe(0);
    execFileSync('sh', ['secrets.sh'], { cwd: out, stdio: 'pipe' });
    const read = (path: string) => readFile(join(out, path), 'utf8');
    const secrets = Object.fromEntries(
      (await read('secrets/broker.env'))
        .trim()
        .split('\n')
        .map((line) => line.split('=') as [string, string]),
    );
    const container = async (file: string, kind: string, name: string) => {
      const found = parseAllDocuments(await read(`base/${file}`)).map((document) => loose(document.toJS()));
      const { containers } = found.find((object) => object.kind === kind)!.spec.template.spec;
      return containers.find((each: { name: string }) => each.name === name).env as Env[];
    };

    // A platform without a broker creates the files that the pki container exports.
    const platform = await testPlatform();
    endings.push(() => platform.stop());
    await provisionDevice({
      client: platform.client,
      name: 'dev',
      type: 'virtual',
      out: join(folder, 'dev'),
    });
    await platform.platform.stop();
    const pki = join(platform.folder, 'data/pki');
    const certificates = await makeCertificates();
    endings.push(() => certificates.remove());
    const routes = join(folder, 'routes');
    await mkdir(routes);
    for (const [from, to] of [
      ['server.crt', 'tls.crt'],
      ['server.key', 'tls.key'],
      ['ca.crt', 'ca.crt'],
    ] as const)
      await cp(certificates.path(from), join(routes, to));

    const ports = await Promise.all(
      [0, 1, 2].map(async () => ({
        nats: await freePort(),
        mqtt: await freePort(),
        route: await freePort(),
        http: await freePort(),
      })),
    );
    /** Maps the pods' names and ports to those of this machine. */
    const here = (text: string) =>
      text.replaceAll(/broker-(\d)\.broker-nodes:(\d+)/g, (_, at, port) => {
        const own = ports[Number(at)]!;
        return `127.0.0.1:${port === '6222' ? own.route : own.nats}`;
      });
    const pods = await Promise.all(
      ports.map(async (own, at) => {
        const pod = join(folder, `broker-${at}`);
        await mkdir(pod);
        const conf = (await read('base/broker/nats.conf'))
          .replace('include "../../pki/nats-auth.conf"', await readFile(join(pki, 'nats-auth.conf'), 'utf8'))
          .replaceAll('"/pki/', `"${pki}/`)
          .replaceAll('"/routes/', `"${routes}/`)
          .replace('"/data"', `"${pod}/data"`)
          .replace('0.0.0.0:4222', `127.0.0.1:${own.nats}`)
          .replace('0.0.0.0:8883', `127.0.0.1:${own.mqtt}`)
          .replace('0.0.0.0:6222', `127.0.0.1:${own.route}`)
          .replace('127.0.0.1:8222', `127.0.0.1:${own.http}`);
        await writeFile(join(pod, 'nats.conf'), conf);
        const script = (await read('base/broker/start.sh'))
          .replace('/etc/nats/', `${pod}/`)
          .replace('nats-server -c', `${natsServerProgram} -c`)
          .replace('/routes/tls.crt', `${pod}/tls.crt`)
          .replace('sleep 10', 'sleep 0.2');
        await cp(join(routes, 'tls.crt'), join(pod, 'tls.crt'));
        await writeFile(join(pod, 'start.sh'), script);
        const env = environment(
          await container('broker.yaml', 'StatefulSet', 'nats'),
          secrets,
          `broker-${at}`,
        );
        const given = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, here(value)]));
        const start = () => {
          const child = spawn('sh', [join(pod, 'start.sh')], {
            stdio: 'ignore',
            env: { PATH: process.env.PATH, ...given },
          });
          endings.push(() => endOf(child));
          return child;
        };
        // As the startup probe does, before Kubernetes stops the next server.
        const healthy = () =>
          fetch(`http://127.0.0.1:${own.http}/healthz`).then(
            ({ status }) => status,
            () => 0,
          );
        return { start, healthy, child: start(), folder: pod };
      }),
    );
    const allHealthy = () =>
      expect
        .poll(() => Promise.all(pods.map(({ healthy }) => healthy())), { timeout: 60_000 })
        .toEqual([200, 200, 200]);
    await allHealthy();

    const env = environment(
      await container('platform.yaml', 'Deployment', 'platform'),
      secrets,
      'platform-x',
    );
    const { AIOT_BROKER = '', AIOT_BROKER_CONTROL = '', AIOT_INGEST = '', NODE_EXTRA_CA_CERTS } = env;
    expect([AIOT_INGEST, NODE_EXTRA_CA_CERTS]).toEqual(['jetstream', '/pki/ca.crt']);
    // The Service `broker` connects to any of the servers.
    const service = AIOT_BROKER.replace(
      'broker:4222',
      `127.0.0.1:${ports[0]!.nats},127.0.0.1:${ports[1]!.nats},127.0.0.1:${ports[2]!.nats}`,
    );
    const door = await startDoor(() => ports.map(({ mqtt }) => mqtt));
    endings.push(() => door.close());
    /** Starts the platform, and returns the first line that it prints. */
    const up = async () => {
      const child = spawn(
        process.execPath,
        [
          join(root, 'bin/run.js'),
          'up',
          '--data',
          join(platform.folder, 'data'),
          '--http-port',
          '0',
          '--mqtt-port',
          '0',
          '--json',
        ],
        {
          stdio: ['ignore', 'pipe', 'ignore'],
          env: {
            ...process.env,
            AIOT_BROKER: service.replace('broker:8883', `127.0.0.1:${door.port}`),
            AIOT_BROKER_CONTROL: here(AIOT_BROKER_CONTROL),
            AIOT_INGEST,
            NODE_EXTRA_CA_CERTS: join(pki, 'ca.crt'),
          },
        },
      );
      endings.push(() => endOf(child));
      const ended = new AbortController();
      child.once('exit', () => ended.abort(new Error('the platform ended before it was ready')));
      const lines = createInterface({ input: child.stdout! });
      const [line] = (await once(lines, 'line', { signal: ended.signal })) as [string];
      return JSON.parse(line) as { urls?: { http: string }; error?: { code: string } };
    };
    // Until the servers have elected a leader, they close connections. Kubernetes then starts the platform's container again.
    let started = await up();
    for (let tries = 1; started.error?.code === 'AIOT_BROKER_UNREACHABLE' && tries < 20; tries++)
      started = await up();
    expect(started).not.toHaveProperty('error');
    const urls = started.urls!;
    const client = createClient({ url: urls.http, ca: platform.ca, token: platform.token });
    endings.push(() => client.close());
    const samples = async () => (await client.datasets.list()).find(({ name }) => name === 's')?.samples ?? 0;

    let sent = 0;
    for (const lost of [0, 1, 2]) {
      // This server is killed together with its script, so nothing restarts it.
      const [pod, other] = [pods[lost]!, ports[(lost + 1) % 3]!];
      await endOf(pod.child);
      const device = await patiently(() =>
        connectDevice(`mqtts://127.0.0.1:${other.mqtt}`, join(folder, 'dev'), { clientId: 'dev' }),
      );
      endings.push(() => device.end(true));
      for (let seq = 1; seq <= 5; seq++) {
        const payload = JSON.stringify({ seq: ++sent, t: sent, rate: 10, recording: 'r', x: sent });
        await device.publishAsync('aiot/v1/dev/telemetry/s', payload, { qos: 1 });
      }
      await device.endAsync();
      await expect.poll(samples, { timeout: 90_000 }).toBe(sent);
      pod.child = pod.start();
      await allHealthy();
    }

    // Only the first server restarts at once; its container ends, so that Kubernetes starts it again.
    for (const { folder: pod } of pods) await writeFile(join(pod, 'tls.crt'), 'renewed');
    const [first, ...others] = pods;
    if (first!.child.exitCode === null) await once(first!.child, 'exit');
    expect(others.map(({ child: other }) => other.exitCode)).toEqual([null, null]);
  }, 400_000);
});

/** While the servers elect a leader, they reject clients, which try again. */
async function patiently<T>(connect: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await connect();
    } catch (error) {
      if (tries === 60) throw error;
      await delay(1000);
    }
  }
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

/** Forwards each connection to the first of these ports that accepts it, like a Service. */
async function startDoor(ports: () => number[]): Promise<{ port: number; close: () => void }> {
  const open = new Set<Socket>();
  const forward = (client: Socket, [port, ...others]: number[]) => {
    if (port === undefined) return void client.destroy();
    const target = connectTcp({ host: '127.0.0.1', port });
    target.once('error', () => forward(client, others));
    target.once('connect', () => {
      target.removeAllListeners('error');
      if (client.destroyed) return void target.destroy();
      for (const [from, to] of [
        [client, target],
        [target, client],
      ] as const) {
        open.add(from);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          open.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
  };
  const server = createServer((client) => {
    client.on('error', () => {});
    forward(client, ports());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

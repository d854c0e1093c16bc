import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statusSchema } from '../../src/lib/api/api.js';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { fetchModel } from '../../src/lib/model/publish/pull.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { ask, formOf } from '../support/guide.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { startNatsWithMqtt } from '../support/nats.js';
import { replicaRoles } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { runProgram } from '../support/programs.js';
import { describeReal } from '../support/real.js';
import { type S3Server, startVersitygw } from '../support/s3.js';

/** Options for platforms that keep all state on external servers, so that any number of processes can run. */
const servers = () => {
  let postgres: Postgres;
  let s3: S3Server;
  let mosquitto: Mosquitto;
  let folder: string;
  let ca: string;
  let token = '';
  let device: MqttClient;
  const key = generateKeyPair().privatePem;
  const platforms: (Platform | undefined)[] = [];
  const clients: RegistryClient[] = [];
  const environment = { ...process.env };

  const start = async (index: number, engines: Record<string, string>) => {
    const dataDir = join(folder, String(index));
    const platform = await startPlatform({
      ...{ dataDir, httpPort: 0, mqttPort: 0, engines, secret: 'shared by all' },
      ...{ compat: ['architects-guide' as const], compatPorts: [0, 0, 0, 0] as const },
    });
    platforms[index] = platform;
    token ||= platform.token ?? '';
    ca = await readFile(platform.ca, 'utf8');
    clients[index] = createClient({ url: platform.urls.http, ca, token });
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-outgrown-'));
    [postgres, s3, mosquitto] = await Promise.all([startPostgres(), startVersitygw(), startMosquitto()]);
    await s3.makeBucket('platform');
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: s3.accessKey,
      AWS_SECRET_ACCESS_KEY: s3.secretKey,
    });
    const engines = {
      database: await postgres.database(),
      blobs: `s3://platform/blobs?endpoint=${encodeURIComponent(s3.url)}`,
      broker: `mqtt://127.0.0.1:${mosquitto.port}`,
    };
    await start(0, engines);
    await start(1, engines);
    await clients[0]?.trust.put(trustRootOf(publicKeyOf(key)));
    await provisionDevice({ client: clients[0]!, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
    device = await connect(engines.broker, {});
  }, 90_000);

  afterAll(async () => {
    await device?.endAsync(true);
    for (const client of clients) await client.close();
    for (const platform of platforms) await platform?.stop();
    await Promise.all([postgres?.stop(), s3?.stop(), mosquitto?.stop()]);
    process.env = environment;
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  const say = async (from: number, to: number) => {
    for (let seq = from; seq < to; seq++) {
      const payload = JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
      await device.publishAsync('aiot/v1/dev/telemetry/s', payload, { qos: 1 });
    }
  };
  const stored = async (at: number) => {
    const { recordings } = await clients[at]!.datasets.get('s');
    return recordings.map(({ samples, duplicates, missing }) => ({ samples, duplicates, missing }));
  };

  it('store each message of a device once, and both return all messages', async () => {
    await say(0, 40);
    const all = [{ samples: 40, duplicates: 0, missing: 0 }];
    await expect.poll(() => stored(0).catch(() => []), { timeout: 10_000 }).toEqual(all);
    expect(await stored(1)).toEqual(all);
  });

  it('share models, whichever replica received them', async () => {
    const { name, version } = await pushTiny(clients[0]!, key);
    const fetched = await fetchModel(clients[1]!, { name, version }, null);
    expect(fetched.card.version).toBe(version);
  });

  it('agree on whether a device is online', async () => {
    const say = (online: boolean) =>
      device.publishAsync('aiot/v1/dev/presence', JSON.stringify({ t: 1, online }), { qos: 1, retain: true });
    for (const online of [true, false, true]) {
      await say(online);
      for (const client of clients)
        await expect
          .poll(async () => (await client.devices.get('dev')).online, { timeout: 20_000 })
          .toBe(online);
    }
  });

  it('reject an upload begun on the other replica, giving that reason, and share the finished blob', async () => {
    const content = randomBytes(9 * 1024 ** 2);
    const [first, other] = platforms.map((platform) => platform?.urls.http ?? '');
    const call = async (url: string, method: 'POST' | 'HEAD' | 'PATCH', headers = {}, body?: Buffer) => {
      const dispatcher = new Agent({ connect: { ca } });
      const all = { authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0', ...headers };
      const answer = await request(url, { dispatcher, method, headers: all, body: body ?? null });
      const text = await answer.body.text();
      await dispatcher.destroy();
      return { status: answer.statusCode, headers: answer.headers, text };
    };
    const begun = await call(`${first}/api/v1/uploads`, 'POST', {
      'upload-length': String(content.length),
      'upload-metadata': `digest ${Buffer.from(digestOf(content)).toString('base64')}`,
    });
    expect(begun.status, begun.text).toBe(201);
    const path = new URL(String(begun.headers.location), first).pathname;
    const piece = { 'content-type': 'application/offset+octet-stream', 'upload-offset': '0' };
    const astray = await call(`${other}${path}`, 'PATCH', piece, content);
    expect(astray.status).toBe(404);
    expect(JSON.parse(astray.text)).toMatchObject({
      code: 'AIOT_NOT_FOUND',
      detail: expect.stringContaining('belongs to the platform process where it began'),
    });
    expect((await call(`${first}${path}`, 'PATCH', piece, content)).status).toBe(204);
    // A completed blob is available on both platforms.
    expect((await (await clients[1]!.blobs.get(digestOf(content))).bytes()).equals(content)).toBe(true);
  });

  it('share the guide’s uploads through PostgreSQL and S3, whichever replica receives them', async () => {
    const at = (index: number) => platforms[index]!.urls.guide!;
    const form = formOf('2022-05-06-20:36:12-motor.tflite', 'TFL');
    const put = await ask(at(0).models, '/uploadQuantizedModel', { method: 'POST', ca, ...form });
    expect(put.status).toBe(200);
    for (const index of [0, 1]) {
      const listing = await ask(at(index).models, '/quantized/', { ca });
      expect(listing.text).toContain('2022-05-06-20:36:12-motor.tflite');
      const file = await ask(at(index).models, '/quantized/2022-05-06-20:36:12-motor.tflite', { ca });
      expect(file.text).toBe('TFL');
    }
    const [version] = await clients[1]!.models.versions('motor');
    expect(version).toMatchObject({ version: 1, trusted: false, kind: 'upload' });
    const csv = await ask(at(1).datasets, '/upload', {
      method: 'POST',
      ca,
      ...formOf('raw_1.csv', 'a,b\n1,2\n'),
    });
    expect(csv.status).toBe(200);
    expect((await ask(at(0).datasets, '/raw_1.csv', { ca })).text).toBe('a,b\n1,2\n');
  });

  it('lose no messages when one of them stops', async () => {
    await platforms[0]?.stop();
    platforms[0] = undefined;
    await say(40, 60);
    await expect
      .poll(() => stored(1), { timeout: 15_000 })
      .toEqual([{ samples: 60, duplicates: 0, missing: 0 }]);
    await delay(100);
    expect((await clients[1]!.devices.get('dev')).name).toBe('dev');
  });
};

describeReal('postgres', 'on PostgreSQL', () =>
  describeReal('versitygw', 'with S3', () =>
    describeReal('mosquitto', 'and an external broker', () => describe('two platforms', servers)),
  ),
);

describeReal('postgres', 'on PostgreSQL, started by command', () =>
  describeReal('versitygw', 'with S3', () =>
    describeReal('nats-server', 'and NATS', () => describe('three platforms', commands)),
  ),
);

/** Each platform is a separate process of the built program. */
function commands() {
  let folder: string;
  let env: Record<string, string>;
  const stops: (() => Promise<unknown>)[] = [];
  const aiot = async (...words: string[]) => {
    const { code, stdout, stderr } = await runProgram(
      process.execPath,
      [join(root, 'bin', 'run.js'), ...words, '--json'],
      { env, cwd: folder, timeoutMs: 120_000 },
    );
    expect(code, `aiot ${words.join(' ')}: ${stdout}${stderr}`).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(1);
    return JSON.parse(lines[0] ?? '');
  };

  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  }, 120_000);

  it('share their roles, and `aiot status` lists each replica and the roles it leads', async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-commands-'));
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const [postgres, s3, nats] = await Promise.all([startPostgres(), startVersitygw(), startNatsWithMqtt()]);
    stops.push(...[postgres, s3, nats].map((server) => () => server.stop()));
    await s3.makeBucket('platform');
    env = {
      ...{ AIOT_CONFIG_DIR: join(folder, 'config'), AIOT_PLATFORM_SECRET: 'shared by all', INIT_CWD: '' },
      ...{ AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
    };
    const engines = [
      ...['--database', await postgres.database()],
      ...['--blobs', `s3://platform?endpoint=${encodeURIComponent(s3.url)}`],
      ...['--broker', nats.broker, '--ingest', 'jetstream'],
    ];
    const urls: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      const data = join(folder, name);
      const port = String(await freePort());
      stops.push(() => aiot('down', '--data', data));
      const up = await aiot('up', '--data', data, '--http-port', port, ...engines, '--detach');
      expect(up).toMatchObject({ pid: expect.any(Number), urls: { mqtts: nats.mqtt } });
      expect(new URL(up.urls.http).port).toBe(port);
      urls.push(up.urls.http);
    }
    const leads = async () => {
      const status = statusSchema.parse(await aiot('status'));
      expect(status).toMatchObject({
        ready: true,
        engines: { database: 'postgres', blobs: 's3', broker: 'external', ingest: 'jetstream' },
      });
      expect(status.replicas.map(({ url }) => url).sort()).toEqual([...urls].sort());
      return status.replicas.map((replica) => replica.leads);
    };
    // Each of them leads in some roles, and each role has one leader.
    await expect
      .poll(async () => (await leads()).map((roles) => roles.length > 0), { timeout: 60_000 })
      .toEqual([...[true, true, true]]);
    await expect
      .poll(async () => (await leads()).flat().sort(), { timeout: 60_000 })
      .toEqual([...replicaRoles, 'broker'].sort());
  }, 240_000);
}

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Status } from '../../src/lib/api/api.js';
import type { LiveNews } from '../../src/lib/api/live.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { listening, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { brokerSuite } from './broker-suite.js';
import { conformSuite } from './conform-suite.js';

let own: TestPlatform | undefined;
let mosquitto: Mosquitto | undefined;
afterEach(async () => {
  await own?.stop();
  await mosquitto?.stop();
  own = undefined;
  mosquitto = undefined;
});

describeReal('mosquitto', 'a platform on an external broker', () => {
  const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
    mosquitto = await startMosquitto({ settings: ['persistence true', 'autosave_interval 1'] });
    own = await testPlatform({ engines: { broker: `mqtt://127.0.0.1:${mosquitto.port}` }, ...options });
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(own.folder, 'dev') });
    return { platform: own, url: `mqtt://127.0.0.1:${mosquitto.port}` };
  };
  const sample = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });

  it('stores device messages, even those sent while it was stopped, and tracks presence', async () => {
    const { platform, url } = await start();
    expect(platform.platform.urls.mqtts).toBe(url);
    const will = { topic: 'aiot/v1/dev/presence', payload: Buffer.from('{"online":false,"t":2}') };
    const device = await connect(url, { will: { ...will, qos: 1, retain: true } });
    await device.publishAsync('aiot/v1/dev/presence', '{"online":true,"t":1}', { qos: 1, retain: true });
    await expect.poll(async () => (await platform.client.devices.get('dev')).online).toBe(true);
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await expect
      .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples))
      .toEqual([1]);
    await platform.platform.stop();
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(2), { qos: 1 });
    await platform.restart();
    await expect
      .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples))
      .toEqual([2]);
    // The retained presence may arrive after the telemetry.
    await expect.poll(async () => (await platform.client.devices.get('dev')).online).toBe(true);
    device.stream.destroy();
    await expect.poll(async () => (await platform.client.devices.get('dev')).online).toBe(false);
    device.end(true);
  });

  it('does not take stored reports for new ones after a restart', async () => {
    const { platform, url } = await start();
    const device = await connect(url, {});
    const heard: string[] = [];
    device.on('message', (_, payload, { retain }) => heard.push(`${retain} ${payload.toString()}`));
    const report = JSON.stringify({
      ...{ t: 5, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 },
      ...{ download: null, golden: null, error: null },
    });
    await device.publishAsync('aiot/v1/dev/reported', report, { qos: 1, retain: true });
    const dev = () => platform.client.devices.get('dev');
    await expect.poll(async () => (await dev()).updateState).toBe('IDLE');
    const before = await dev();
    await platform.platform.stop();
    await device.subscribeAsync('aiot/v1/dev/reported', { qos: 1 });
    await platform.restart();
    // Arrives after everything that the platform sends when it starts.
    await device.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await expect.poll(async () => (await platform.client.datasets.list()).length).toBe(1);
    expect(heard).toEqual([`true ${report}`]);
    expect(await dev()).toEqual(before);
    await device.endAsync(true);
  });

  it('suggests commands that start it on the same broker again', async () => {
    mosquitto = await startMosquitto();
    const folder = await mkdtemp(join(tmpdir(), 'aiot-suggested-'));
    await symlink(join(root, 'bin', 'run.js'), join(folder, 'aiot'));
    const env = {
      ...{ ...process.env, PATH: `${folder}:${process.env.PATH}`, AIOT_CONFIG_DIR: join(folder, 'config') },
      ...{ NO_COLOR: '1', INIT_CWD: undefined },
    };
    const typed = (line: string) => {
      const { stdout, stderr, status } = spawnSync('sh', ['-c', line], { env, encoding: 'utf8' });
      if (status !== 0) throw new Error(`${line}: ${stderr}`);
      return stdout;
    };
    const suggested = (stdout: string) => stdout.split('Next: ')[1]?.split('\n')[0] ?? '';
    const engines = () => (JSON.parse(typed('aiot status --json')) as Status).engines;
    const data = join(folder, 'platform');
    const broker = `mqtt://127.0.0.1:${mosquitto.port}`;
    const ports = '--http-port 0 --mqtt-port 0';
    const first = `aiot up --data ${data} ${ports} --broker ${broker} --no-token --detach`;
    try {
      const withToken = suggested(typed(first));
      expect(withToken).toContain(`--broker ${broker}`);
      typed(withToken);
      expect(engines()).toMatchObject({ broker: 'external', ingest: 'mqtt' });
      const again = suggested(typed(`aiot down --data ${data}`));
      expect(again).toMatch(new RegExp(`^aiot up --data ${data} --http-port \\d+ --broker ${broker}$`));
      typed(`${again} --detach`);
      expect(engines()).toMatchObject({ broker: 'external', ingest: 'mqtt' });
    } finally {
      spawnSync('sh', ['-c', `aiot down --data ${data}`], { env });
      await rm(folder, { recursive: true, force: true });
    }
  }, 240_000);

  it('shows its messages in the live tail of the dashboard, and closes its connections afterward', async () => {
    const { platform, url } = await start();
    const client = await connect(url, {});
    await client.publishAsync('hall/kept', 'earlier', { qos: 1, retain: true });
    const headers = { authorization: `Bearer ${platform.token}` };
    const socket = new WebSocket(`${platform.platform.urls.http.replace('https', 'wss')}/live`, {
      ...{ ca: platform.ca, headers },
    });
    const heard: string[] = [];
    socket.on('message', (data) => {
      const news = JSON.parse(String(data)) as LiveNews;
      if ('open' in news) heard.push('open');
      if ('message' in news) heard.push(`${news.message.topic} ${news.message.payload}`);
    });
    await once(socket, 'open');
    socket.send(JSON.stringify({ id: 1, to: 'messages', filter: 'hall/#' }));
    await expect.poll(() => [...heard].sort()).toEqual(['hall/kept earlier', 'open']);
    await client.publishAsync('hall/1', 'live', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toBe('hall/1 live');
    socket.send(JSON.stringify({ id: 1, to: 'nothing' }));
    socket.send(JSON.stringify({ id: 2, to: 'messages', filter: 'yard/#' }));
    await expect.poll(() => heard.at(-1)).toBe('open');
    await client.publishAsync('hall/1', 'of the ended subscription', { qos: 1 });
    await client.publishAsync('yard/1', 'last', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toBe('yard/1 last');
    expect(heard.filter((line) => line.includes('ended'))).toEqual([]);
    socket.close();
    client.end(true);
  });
});

describeReal('mosquitto', 'a platform with Mosquitto', () => {
  brokerSuite({
    start: async (options) => {
      mosquitto = await startMosquitto({ settings: ['persistence true', 'autosave_interval 1'] });
      return testPlatform({ engines: { broker: `mqtt://127.0.0.1:${mosquitto.port}` }, ...options });
    },
    device: (_own, _name, options) => connect(`mqtt://127.0.0.1:${mosquitto?.port}`, options ?? {}),
    async stop() {
      await mosquitto?.stop();
      mosquitto = undefined;
    },
  });
});

describeReal('mosquitto', 'a virtual device that connects to Mosquitto with TLS', () => {
  conformSuite(async (file) => {
    const port = await freePort();
    const { stop } = await startMosquitto({
      settings: [
        // If root runs the tests, Mosquitto would switch to a user that cannot read the key.
        'user root',
        `listener ${port} 127.0.0.1`,
        ...[`cafile ${file('ca.crt')}`, `certfile ${file('server.crt')}`, `keyfile ${file('server.key')}`],
      ],
    });
    const mqtts = `mqtts://127.0.0.1:${port}`;
    return { mqtts, broker: mqtts, stop };
  });
});

describeReal('mosquitto', 'Mosquitto set up as in docs/reference/mosquitto', () => {
  const told = (text: string, replaced: Record<string, string>) =>
    Object.entries(replaced).reduce((before, [from, to]) => {
      expect(before).toContain(from);
      return before.replaceAll(from, to);
    }, text);

  it('limits devices to their own topics, and rejects revoked ones after it reloads the CRL', async () => {
    // The platform creates the files for Mosquitto when it first starts, regardless of the broker that it
    // then uses.
    own = await testPlatform();
    const platform = own;
    for (const name of ['dev', 'other', 'gone'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    const folder = join(own.folder, 'mosquitto');
    const pki = (file: string) => join(platform.folder, 'data', 'pki', file);
    await mkdir(folder);
    for (const file of ['ca.crt', 'server.crt', 'server.key', 'devices.crl']) {
      await copyFile(pki(file), join(folder, file));
      await chmod(join(folder, file), 0o644);
    }
    const made = spawnSync('mosquitto_passwd', ['-b', '-c', join(folder, 'passwd'), 'platform', 'secret']);
    expect(made.status, String(made.stderr)).toBe(0);
    // When started as root, Mosquitto switches to a user of its own.
    for (const each of [own.folder, folder]) await chmod(each, 0o777);
    await chmod(join(folder, 'passwd'), 0o644);
    const [devices, inner] = [await freePort(), await freePort()];
    const docs = join(root, 'docs', 'reference', 'mosquitto');
    const config = told(await readFile(join(docs, 'aiot.conf'), 'utf8'), {
      '/var/lib/mosquitto/': `${folder}/`,
      '/etc/mosquitto/conf.d': docs,
      '/etc/mosquitto/aiot/': `${folder}/`,
      'listener 8883': `listener ${devices} 127.0.0.1`,
      'listener 1884': `listener ${inner}`,
    });
    await writeFile(join(folder, 'aiot.conf'), config);
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    const broker = spawn('mosquitto', ['-c', join(folder, 'aiot.conf')], { stdio: 'ignore', env });
    try {
      await listening(inner);
      await own.restart({ engines: { broker: `mqtt://platform:secret@127.0.0.1:${inner}` } });
      await expect(connect(`mqtt://127.0.0.1:${inner}`, {})).rejects.toThrow(/Not authorized/);
      const url = `mqtts://127.0.0.1:${devices}`;
      await expect(connect(url, { ca: own.ca, username: 'platform', password: 'secret' })).rejects.toThrow();
      const by = (name: string) => connectDevice(url, join(platform.folder, name));
      const [dev, other, gone] = [await by('dev'), await by('other'), await by('gone')];
      await other.publishAsync('aiot/v1/dev/telemetry/s', '{"seq":1,"recording":"r","x":9}', { qos: 1 });
      await dev.publishAsync('aiot/v1/dev/telemetry/s', '{"seq":1,"recording":"r","x":1}', { qos: 1 });
      // Mosquitto acknowledges a forbidden message but drops it, and closes the connection.
      await expect.poll(() => other.connected).toBe(false);
      await expect
        .poll(async () => (await platform.client.datasets.list()).map(({ samples }) => samples))
        .toEqual([1]);
      const heard: string[] = [];
      dev.on('message', (topic) => heard.push(`dev ${topic}`));
      const again = await by('other');
      again.on('message', (topic) => heard.push(`other ${topic}`));
      await dev.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
      // The subscription is granted but delivers nothing.
      await again.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
      const operator = await connect(`mqtt://127.0.0.1:${inner}`, {
        username: 'platform',
        password: 'secret',
      });
      await operator.publishAsync('aiot/v1/dev/command', '{"id":"c-1","command":"ping"}', { qos: 1 });
      await operator.endAsync();
      await expect.poll(() => heard).toEqual(['dev aiot/v1/dev/command']);
      const before = await readFile(pki('devices.crl'), 'utf8');
      await own.client.devices.act('gone', 'revoke');
      await expect.poll(() => readFile(pki('devices.crl'), 'utf8'), { timeout: 10_000 }).not.toBe(before);
      await copyFile(pki('devices.crl'), join(folder, 'devices.crl'));
      broker.kill('SIGHUP');
      await expect
        .poll(
          () =>
            by('gone').then(
              () => 'let in',
              () => 'refused',
            ),
          { timeout: 10_000 },
        )
        .toBe('refused');
      for (const each of [dev, other, again, gone]) each.end(true);
      // Other devices connect as before.
      await (await by('dev')).endAsync(true);
    } finally {
      broker.kill('SIGKILL');
    }
  });
});

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterEach, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { listening } from '../support/mosquitto.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

let own: TestPlatform | undefined;
let broker: ChildProcess | undefined;
const clients: MqttClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  await own?.stop();
  if (broker && broker.exitCode === null && broker.signalCode === null) {
    const exited = once(broker, 'exit');
    broker.kill('SIGKILL');
    await exited;
  }
  own = undefined;
  broker = undefined;
});

/** A platform whose devices connect to Mosquitto, which is set up as in docs/reference/mosquitto/dynamic-security.conf. */
async function start(names: readonly string[]) {
  const platform = await testPlatform();
  own = platform;
  for (const name of names)
    await provisionDevice({
      client: platform.client,
      name,
      type: 'virtual',
      out: join(platform.folder, name),
    });
  const folder = join(platform.folder, 'mosquitto');
  await mkdir(folder);
  for (const file of ['ca.crt', 'server.crt', 'server.key', 'devices.crl']) {
    await copyFile(join(platform.folder, 'data', 'pki', file), join(folder, file));
    await chmod(join(folder, file), 0o644);
  }
  const json = join(folder, 'dynamic-security.json');
  const made = spawnSync('mosquitto_ctrl', ['dynsec', 'init', json, 'platform', 'secret']);
  expect(made.status, String(made.stderr)).toBe(0);
  // When started as root, Mosquitto switches to a user of its own.
  for (const each of [platform.folder, folder]) await chmod(each, 0o777);
  await chmod(json, 0o666);
  const [outer, inner] = [await freePort(), await freePort()];
  const docs = await readFile(join(root, 'docs', 'reference', 'mosquitto', 'dynamic-security.conf'), 'utf8');
  const config = docs
    .replaceAll('/var/lib/mosquitto/', `${folder}/`)
    .replaceAll('/etc/mosquitto/aiot/', `${folder}/`)
    .replace('/usr/lib/x86_64-linux-gnu/', pluginFolder())
    .replace('listener 8883', `listener ${outer} 127.0.0.1`)
    .replace('listener 1884', `listener ${inner}`);
  await writeFile(join(folder, 'mosquitto.conf'), config);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  broker = spawn('mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore', env });
  await listening(inner);
  const address = `127.0.0.1:${inner}`;
  const ctrl = (...words: string[]) => {
    const [host, port] = address.split(':') as [string, string];
    const done = spawnSync('mosquitto_ctrl', [
      ...['-h', host, '-p', port, '-u', 'platform', '-P', 'secret', 'dynsec', ...words],
    ]);
    return String(done.stdout);
  };
  // As in the documentation: the platform's client may publish and receive everything.
  ctrl('addRoleACL', 'admin', 'publishClientSend', '#', 'allow');
  const engines = {
    broker: `mqtt://platform:secret@${address}`,
    brokerControl: `mosquitto+mqtt://platform:secret@${address}`,
  };
  await platform.restart({ engines });
  const by = async (name: string, options = {}) => {
    const client = await connectDevice(`mqtts://127.0.0.1:${outer}`, join(platform.folder, name), {
      clientId: name,
      ...options,
    });
    clients.push(client);
    return client;
  };
  const operator = async () => {
    const client = await connect(engines.broker, {});
    clients.push(client);
    return client;
  };
  return { platform, by, operator, ctrl, engines };
}

function pluginFolder(): string {
  const { stdout } = spawnSync('dpkg-query', ['-L', 'mosquitto']);
  const file = String(stdout)
    .split('\n')
    .find((line) => line.endsWith('/mosquitto_dynamic_security.so'));
  return `${file?.slice(0, file.lastIndexOf('/'))}/`;
}

/** Time until a client's connection is closed after `act`, ms. */
async function closedAfter(client: MqttClient, act: () => Promise<unknown>): Promise<number> {
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const began = performance.now();
  await act();
  await closed;
  return performance.now() - began;
}

const sample = (x: number) => JSON.stringify({ seq: x, t: x, rate: 10, recording: 'r', x });

describeReal('mosquitto', "a platform that manages Mosquitto's clients", () => {
  it('gives devices their rights, and takes them away with the connection within two seconds', async () => {
    const { platform, by, operator, ctrl } = await start(['dev', 'other']);
    const rights = () => ctrl('listClients').trim().split('\n').sort();
    await expect.poll(rights, { timeout: 10_000 }).toEqual(['dev', 'other', 'platform']);
    const stored = async () => (await platform.client.datasets.list()).map(({ samples }) => samples);
    const dev = await by('dev', { clean: false });
    const other = await by('other');
    await dev.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await expect.poll(stored).toEqual([1]);
    // Mosquitto acknowledges a forbidden message but drops it, and closes the connection.
    const liar = await by('other', { clientId: 'liar' });
    await liar.publishAsync('aiot/v1/dev/telemetry/s', sample(2), { qos: 1 });
    await expect.poll(() => liar.connected).toBe(false);
    const heard: string[] = [];
    const hear = (client: MqttClient, name: string) =>
      client.on('message', (topic, payload) => heard.push(`${name} ${topic} ${payload}`));
    hear(dev, 'dev');
    hear(other, 'other');
    await dev.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
    const [granted] = await other
      .subscribeAsync('aiot/v1/dev/command', { qos: 1 })
      .catch(() => [{ qos: 128 }]);
    expect(granted?.qos).toBe(128);
    const boss = await operator();
    await boss.publishAsync('aiot/v1/dev/command', 'first', { qos: 1 });
    await expect.poll(() => heard).toEqual(['dev aiot/v1/dev/command first']);

    expect(await closedAfter(dev, () => platform.client.devices.act('dev', 'suspend'))).toBeLessThan(2000);
    await expect.poll(rights).toEqual(['other', 'platform']);
    // Mosquitto admits any certificate of the CA, but a client without a role may do nothing, even in its old session.
    const again = await by('dev', { clean: false });
    hear(again, 'again');
    await boss.publishAsync('aiot/v1/dev/command', 'second', { qos: 1 });
    const [refused] = await again.subscribeAsync('aiot/v1/dev/desired').catch(() => [{ qos: 128 }]);
    expect(refused?.qos).toBe(128);
    await again.publishAsync('aiot/v1/dev/telemetry/s', sample(3), { qos: 1 });
    await expect.poll(() => again.connected).toBe(false);
    expect(heard).toEqual(['dev aiot/v1/dev/command first']);
    expect(await stored()).toEqual([1]);

    await platform.client.devices.act('dev', 'resume');
    await expect.poll(rights, { timeout: 10_000 }).toEqual(['dev', 'other', 'platform']);
    const back = await by('dev');
    await back.publishAsync('aiot/v1/dev/telemetry/s', sample(4), { qos: 1 });
    await expect.poll(stored).toEqual([2]);
    expect(await closedAfter(other, () => platform.client.devices.act('other', 'revoke'))).toBeLessThan(2000);
    await expect.poll(rights).toEqual(['dev', 'platform']);
  });

  it("gives a device that is registered later its rights, and leaves others' clients alone", async () => {
    const { platform, by, ctrl, engines } = await start(['dev']);
    ctrl('createClient', 'camera', '-p', 'x');
    const rights = () => ctrl('listClients').trim().split('\n').sort();
    await provisionDevice({
      ...{ client: platform.client, name: 'late', type: 'virtual', out: join(platform.folder, 'late') },
    });
    await expect.poll(rights, { timeout: 10_000 }).toEqual(['camera', 'dev', 'late', 'platform']);
    const late = await by('late');
    await late.publishAsync('aiot/v1/late/telemetry/s', sample(1), { qos: 1 });
    await expect.poll(async () => (await platform.client.datasets.list()).length).toBe(1);
    // After a restart, the platform finds Mosquitto unchanged.
    await platform.restart({ engines });
    await platform.client.devices.act('late', 'suspend');
    await expect.poll(rights, { timeout: 10_000 }).toEqual(['camera', 'dev', 'platform']);
  });
});

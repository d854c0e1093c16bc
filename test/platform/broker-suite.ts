import { join } from 'node:path';
import type { IClientOptions, MqttClient } from 'mqtt';
import { afterEach, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import type { TestPlatform, testPlatform } from '../support/platform.js';

/** Starts a platform with the broker under test, and connects a device to it. */
export interface BrokerSide {
  start(options: Parameters<typeof testPlatform>[0]): Promise<TestPlatform>;
  device(own: TestPlatform, name: string, options?: IClientOptions): Promise<MqttClient>;
  stop?(): Promise<void>;
}

/**
 * The platform's requirements for any broker, whether the embedded one or an external one that it is a client
 * of.
 */
export function brokerSuite(side: BrokerSide): void {
  let own: TestPlatform;
  const open: MqttClient[] = [];
  afterEach(async () => {
    for (const client of open.splice(0)) client.end(true);
    await own.stop();
    await side.stop?.();
  });
  const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
    own = await side.start(options);
    for (const name of ['dev', 'other'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  };
  const device = async (name: string, options: IClientOptions = {}) => {
    const made = await side.device(own, name, options);
    open.push(made);
    return made;
  };
  const heardBy = (client: MqttClient) => {
    const heard: string[] = [];
    client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
    return heard;
  };
  const sample = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
  const samples = async () => (await own.client.datasets.list()).map(({ samples: count }) => count);
  const online = async () => (await own.client.devices.get('dev')).online;
  const report = {
    ...{ t: 1, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 },
    ...{ download: null, golden: null, error: null },
  };

  it('stores telemetry and device reports', async () => {
    await start();
    const client = await device('dev');
    for (let seq = 1; seq <= 20; seq++)
      await client.publishAsync('aiot/v1/dev/telemetry/s', sample(seq), { qos: seq % 2 ? 1 : 2 });
    await client.publishAsync('aiot/v1/dev/reported', JSON.stringify(report), { qos: 1, retain: true });
    await expect.poll(samples).toEqual([20]);
    await expect.poll(async () => (await own.client.devices.get('dev')).updateState).toBe('IDLE');
  });

  it('skips invalid messages, and stores the ones after them', async () => {
    await start();
    const client = await device('dev');
    for (const payload of ['no JSON', '{"t":"x"}', '', sample(1)])
      await client.publishAsync('aiot/v1/dev/telemetry/s', payload, { qos: 1 });
    await expect.poll(samples).toEqual([1]);
  });

  it('loses no message that could not be stored on arrival', async () => {
    let failing = false;
    await start({
      async sync(file) {
        if (failing) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        await file.datasync();
      },
    });
    // Neither the broker nor the platform acknowledges the message, so it is resent.
    const client = await device('dev', { clientId: 'again', clean: false, reconnectPeriod: 100 });
    failing = true;
    const sent = client.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await samples()).toEqual([]);
    failing = false;
    await sent;
    await expect.poll(samples, { timeout: 10_000 }).toEqual([1]);
  });

  it('tracks whether a device is online, including by the will of a lost connection', async () => {
    await start();
    const topic = 'aiot/v1/dev/presence';
    const will = { topic, payload: Buffer.from('{"online":false,"t":2}'), qos: 1 as const, retain: true };
    const first = await device('dev', { will });
    await first.publishAsync(topic, '{"online":true,"t":1}', { qos: 1, retain: true });
    await expect.poll(online).toBe(true);
    first.stream.destroy();
    await expect.poll(online).toBe(false);
    const second = await device('dev', { will });
    await second.publishAsync(topic, '{"online":true,"t":3}', { qos: 1, retain: true });
    await expect.poll(online).toBe(true);
    await second.publishAsync(topic, '{"online":false,"t":4}', { qos: 1, retain: true });
    await second.endAsync();
    await expect.poll(online).toBe(false);
  });

  it('keeps retained messages for devices that connect later, even after a restart', async () => {
    await start();
    const sink = await own.platform.streams.openSink('aiot/v1/dev/desired', { qos: 1, retain: true });
    for (const rollout of ['ro_1', 'ro_2'])
      await sink.write([{ topic: 'aiot/v1/dev/command', payload: Buffer.from(rollout) }]);
    await sink.close();
    const client = await device('dev');
    const heard = heardBy(client);
    await client.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/command ro_2']);
    await own.restart();
    const late = await device('dev', { clientId: 'late' });
    const told = heardBy(late);
    await late.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
    await expect.poll(() => told).toEqual(['aiot/v1/dev/command ro_2']);
  });

  it('delivers the messages of the platform’s routes in both directions', async () => {
    await start();
    const { streams } = own.platform;
    const source = await streams.openSource('aiot/v1/+/inference', {});
    const sink = await streams.openSink('aiot/v1/dev/command', { qos: 1 });
    const client = await device('dev');
    const heard = heardBy(client);
    await client.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
    await sink.write([{ topic: 'aiot/v1/dev/command', payload: Buffer.from('{"do":1}') }]);
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/command {"do":1}']);
    const inference = { t: 1, seq: 1, model: 'm', version: 1, class: 'a', scores: { a: 1 } };
    const sent = client.publishAsync('aiot/v1/dev/inference', JSON.stringify(inference), { qos: 1 });
    for await (const batch of source) {
      expect(batch.map(({ message }) => message.topic)).toEqual(['aiot/v1/dev/inference']);
      for (const delivery of batch) delivery.ack();
      break;
    }
    await sent;
    await Promise.all([source.close(), sink.close()]);
  });
}

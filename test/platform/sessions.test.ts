import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { IClientOptions, MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import type { Sync } from '../../src/lib/core/append-log.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
const open: MqttClient[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) client.end(true);
  await own.stop();
});

const start = async (options: Parameters<typeof testPlatform>[0] = {}) => {
  own = await testPlatform({ plain: { port: 0 }, ...options });
};
async function client(clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
  const made = await connect(own.platform.urls.mqtt ?? '', {
    ...{ username: 'operator', password: own.token, clientId, clean: false, ...options },
  });
  open.push(made);
  return made;
}
/** The messages that a client receives, as `topic payload`. */
function heardBy(made: MqttClient): string[] {
  const heard: string[] = [];
  made.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  return heard;
}
/** Connects again, and collects all messages from the first packet on. */
async function back(clientId: string, options: IClientOptions = {}) {
  const { connectAsync: _, ...mqtt } = await import('mqtt');
  const made = mqtt.connect(own.platform.urls.mqtt ?? '', {
    ...{ username: 'operator', password: own.token, clientId, clean: false, reconnectPeriod: 0, ...options },
  });
  open.push(made);
  const heard = heardBy(made);
  const present = await new Promise<boolean>((resolve, reject) => {
    made.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
    made.once('error', reject);
  });
  return { made, heard, present };
}

describe('a persistent session', () => {
  it('receives messages sent while it was offline, in order, across a restart of the platform', async () => {
    await start();
    const first = await client('reader');
    await first.subscribeAsync('jobs/+', { qos: 2 });
    await first.endAsync();
    const writer = await client('writer', { clean: true });
    for (const qos of [1, 2] as const)
      await writer.publishAsync(`jobs/${qos}`, `while gone, ${qos}`, { qos });
    await writer.endAsync();
    await own.restart();
    const { heard, present } = await back('reader');
    expect(present).toBe(true);
    await expect.poll(() => heard).toEqual(['jobs/1 while gone, 1', 'jobs/2 while gone, 2']);
    const again = await client('writer', { clean: true });
    await again.publishAsync('jobs/3', 'now', { qos: 1 });
    await expect.poll(() => heard.length).toBe(3);
  });

  it('is discarded when its client connects with a clean session', async () => {
    await start();
    const first = await client('reader');
    await first.subscribeAsync('jobs/#', { qos: 1 });
    await first.endAsync();
    const clean = await back('reader', { clean: true });
    expect(clean.present).toBe(false);
    await clean.made.endAsync();
    expect((await back('reader')).present).toBe(false);
  });

  it('receives unacknowledged messages again', async () => {
    await start();
    const first = await client('reader');
    await first.subscribeAsync('jobs/1', { qos: 1 });
    const lost = new Promise<void>((resolve) => {
      // The connection breaks before its PUBACK is sent.
      first.handleMessage = () => {
        first.stream.destroy();
        resolve();
      };
    });
    const writer = await client('writer', { clean: true });
    await writer.publishAsync('jobs/1', 'once more', { qos: 1 });
    await lost;
    const { heard } = await back('reader');
    await expect.poll(() => heard).toEqual(['jobs/1 once more']);
  });

  it('keeps the newest messages when its queue overflows', async () => {
    await start();
    const first = await client('reader');
    await first.subscribeAsync('many', { qos: 1 });
    await first.endAsync();
    const writer = await client('writer', { clean: true });
    const count = 10_050;
    const all = Array.from({ length: count }, (_, i) => writer.publishAsync('many', `${i}`, { qos: 1 }));
    await Promise.all(all);
    const { heard } = await back('reader');
    await expect.poll(() => heard.at(-1), { timeout: 10_000 }).toBe(`many ${count - 1}`);
    expect([heard.length, heard[0]]).toEqual([10_000, 'many 50']);
  });
});

describe('the acknowledgment of a message for an offline subscriber', () => {
  it.each([1, 2] as const)('waits for the session log to sync at QoS %i', async (qos) => {
    let release = () => {};
    let blocked = false;
    const sync: Sync = async (file) => {
      if (blocked) await new Promise<void>((resolve) => (release = resolve));
      await file.datasync();
    };
    await start({ sync });
    const reader = await client('reader');
    await reader.subscribeAsync('jobs/#', { qos: 2 });
    await reader.endAsync();
    const writer = await client('writer', { clean: true });
    blocked = true;
    let acknowledged = false;
    writer.on('packetreceive', ({ cmd }) => {
      if (cmd === 'puback' || cmd === 'pubrec') acknowledged = true;
    });
    const published = writer.publishAsync('jobs/1', 'x', { qos });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(acknowledged).toBe(false);
    blocked = false;
    release();
    await published;
    expect(acknowledged).toBe(true);
  });

  it('is withheld if the sync fails, and later messages are kept', async () => {
    let failing = false;
    const sync: Sync = async (file) => {
      if (failing) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      await file.datasync();
    };
    await start({ sync });
    const reader = await client('reader');
    await reader.subscribeAsync('jobs/#', { qos: 1 });
    await reader.endAsync();
    const writer = await client('writer', { clean: true });
    failing = true;
    const outcome = await Promise.race([
      writer.publishAsync('jobs/1', 'lost', { qos: 1 }).then(() => 'acknowledged'),
      new Promise((resolve) => writer.once('close', () => resolve('closed'))),
    ]);
    expect(outcome).toBe('closed');
    failing = false;
    const again = await client('writer', { clean: true });
    await again.publishAsync('jobs/2', 'kept', { qos: 1 });
    await again.endAsync();
    await own.restart();
    const { heard } = await back('reader');
    await expect.poll(() => heard).toContain('jobs/2 kept');
    // A log that could not be written is replaced with a new one.
    expect((await readdir(join(own.folder, 'data', 'broker'))).length).toBe(1);
  });
});

describe('a QoS 2 message', () => {
  it('is delivered once, however often it is sent, even across a restart', async () => {
    await start();
    const reader = await client('reader');
    await reader.subscribeAsync('once', { qos: 2 });
    const heard = heardBy(reader);
    const { default: net } = await import('node:net');
    const packets = await import('mqtt-packet');
    const say = async (messages: object[], until: string) => {
      const socket = net.connect(Number(new URL(own.platform.urls.mqtt ?? '').port), '127.0.0.1');
      const parser = packets.parser();
      const seen: string[] = [];
      const done = new Promise<void>((resolve) => {
        parser.on('packet', ({ cmd }) => {
          seen.push(cmd);
          if (cmd === until) resolve();
        });
      });
      socket.on('data', (chunk) => parser.parse(chunk));
      for (const message of messages)
        socket.write(packets.generate(message as Parameters<typeof packets.generate>[0]));
      await done;
      socket.destroy();
      return seen;
    };
    const hello = {
      ...{
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: false,
        clientId: 'raw',
        keepalive: 0,
      },
      ...{ username: 'u', password: Buffer.from(own.token) },
    };
    const publish = {
      cmd: 'publish',
      topic: 'once',
      payload: 'x',
      qos: 2,
      messageId: 7,
      retain: false,
      dup: false,
    };
    await say([hello, publish], 'pubrec');
    await expect.poll(() => heard).toEqual(['once x']);
    await reader.endAsync();
    await own.restart();
    const { heard: later } = await back('reader');
    await say([hello, { ...publish, dup: true }], 'pubrec');
    await say([hello, { cmd: 'pubrel', messageId: 7 }], 'pubcomp');
    // The id is available again, so it now means a new message.
    await say([hello, { ...publish, payload: 'y' }], 'pubrec');
    await expect.poll(() => later).toEqual(['once y']);
  });
});

describe('retained messages and wills', () => {
  it('survive a restart of the platform', async () => {
    await start();
    const writer = await client('writer', {
      clean: true,
      will: { topic: 'left/writer', payload: Buffer.from('gone'), qos: 1, retain: true },
    });
    await writer.publishAsync('kept/1', 'one', { qos: 1, retain: true });
    await writer.publishAsync('kept/2', 'two', { qos: 1, retain: true });
    await writer.publishAsync('kept/2', '', { qos: 1, retain: true });
    await own.restart();
    const { made, heard } = await back('reader', { clean: true });
    await made.subscribeAsync(['kept/#', 'left/#'], { qos: 1 });
    await expect.poll(() => [...heard].sort()).toEqual(['kept/1 one', 'left/writer gone']);
  });
});

describe('a device’s presence', () => {
  const will = (name: string) => ({
    will: {
      ...{ topic: `aiot/v1/${name}/presence`, payload: Buffer.from('{"online":false,"t":1}') },
      ...{ qos: 1 as const, retain: true },
    },
  });
  const online = '{"online":true,"t":1}';

  it('follows its newest connection, even if an older one ends later', async () => {
    await start();
    const out = join(own.folder, 'dev');
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out });
    const url = own.platform.urls.mqtts;
    const old = await connectDevice(url, out, { clientId: 'old', ...will('dev') });
    await old.publishAsync('aiot/v1/dev/presence', online, { qos: 1, retain: true });
    const fresh = await connectDevice(url, out, { clientId: 'new', ...will('dev') });
    await fresh.publishAsync('aiot/v1/dev/presence', online, { qos: 1, retain: true });
    old.stream.destroy();
    const { made, heard } = await back('watcher', { clean: true });
    await made.subscribeAsync('aiot/v1/+/presence', { qos: 1 });
    await expect.poll(() => heard.length).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 150));
    fresh.stream.destroy();
    const offline = '{"online":false,"t":1}';
    await expect.poll(() => heard.at(-1)).toBe(`aiot/v1/dev/presence ${offline}`);
    expect(heard).toEqual([online, offline].map((presence) => `aiot/v1/dev/presence ${presence}`));
    for (const each of [old, fresh]) each.end(true);
  });

  it('becomes offline when a device without a will disconnects', async () => {
    await start();
    const out = join(own.folder, 'dev');
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out });
    const device = await connectDevice(own.platform.urls.mqtts, out);
    await device.publishAsync('aiot/v1/dev/presence', online, { qos: 1, retain: true });
    device.stream.destroy();
    const { made, heard } = await back('watcher', { clean: true });
    await made.subscribeAsync('aiot/v1/dev/presence', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toMatch(/"online":false/);
    device.end(true);
  });
});

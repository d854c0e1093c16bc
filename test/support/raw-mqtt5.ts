import { cp, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { IConnackPacket, IPublishPacket } from 'mqtt-packet';
import type { TestPlatform } from './platform.js';
import { hello, publish, type RawMqtt, rawMqtt } from './raw-mqtt.js';

/** A packet-level MQTT 5 client, and the CONNACK that it received. */
export interface Five {
  raw: RawMqtt;
  connack: IConnackPacket;
}

/** Connects to the plain listener with the operator's token. */
export async function connectFive(own: TestPlatform, more: object = {}): Promise<Five> {
  const raw = await rawMqtt(own.platform.urls.mqtt ?? '', { version: 5 });
  const credentials = { username: 'u', password: Buffer.from(own.token) };
  raw.say(hello({ protocolVersion: 5, ...credentials, ...more }));
  const connack = await raw.hear('connack');
  if (!connack) throw new Error('the connection was closed without a CONNACK');
  return { raw, connack };
}

/** Connects like `connectFive`, but with 3.1.1. */
export async function connectFour(own: TestPlatform, more: object = {}): Promise<RawMqtt> {
  const raw = await rawMqtt(own.platform.urls.mqtt ?? '');
  raw.say(hello({ username: 'u', password: Buffer.from(own.token), ...more }));
  await raw.hear('connack');
  return raw;
}

/** Subscribes, and returns the reason codes. */
export async function subscribed(
  raw: RawMqtt,
  subscriptions: object | object[],
  properties?: object,
): Promise<(number | object)[]> {
  const all = Array.isArray(subscriptions) ? subscriptions : [subscriptions];
  const packet = { cmd: 'subscribe', messageId: 7, subscriptions: all.map((each) => ({ qos: 0, ...each })) };
  raw.say({ ...packet, ...(properties && { properties }) } as never);
  return (await raw.hear('suback'))?.granted ?? [];
}

/** Returns the payload of the next message. */
export async function heardPayload(raw: RawMqtt): Promise<string> {
  return String((await raw.hear('publish'))?.payload);
}

/** Returns the messages that arrive before the response to a PINGREQ. */
export async function messagesSoFar(raw: RawMqtt): Promise<IPublishPacket[]> {
  raw.say({ cmd: 'pingreq' });
  await raw.hear('pingresp');
  return raw.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet] : []));
}

/**
 * Resolves when everything that the broker has noted in its log so far is on disk. Notes such as acknowledgments are written later than
 * they are taken, but never after this message, whose PUBACK waits for the disk.
 */
export async function logged(own: TestPlatform): Promise<void> {
  const { raw } = await connectFive(own, { clientId: 'fence' });
  raw.say(publish({ topic: 'fence', qos: 1, messageId: 1, retain: true }));
  await raw.hear('puback');
  raw.socket.destroy();
}

/**
 * Restarts the platform with the data that its broker has on disk at this moment, as after SIGKILL. Anything written during shutdown is
 * lost.
 */
export async function killed(
  own: TestPlatform,
  between: () => Promise<void> = async () => {},
): Promise<void> {
  const broker = join(own.folder, 'data', 'broker');
  const copy = await mkdtemp(join(own.folder, 'broker-'));
  await cp(broker, copy, { recursive: true });
  await own.client.close();
  await own.platform.stop();
  await rm(broker, { recursive: true });
  await cp(copy, broker, { recursive: true });
  await between();
  await own.start();
}

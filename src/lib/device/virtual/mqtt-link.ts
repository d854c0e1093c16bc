import type { MqttClient } from 'mqtt';
import { brokerError, connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import type { DeviceIdentity } from '../identity/identity.js';
import { type DeviceChannel, encodeMessage, topicOf } from '../protocol/codec.js';
import { deferred } from './deferred.js';

/** A device's connection to its broker. */
export interface DeviceLink {
  readonly online: boolean;
  /** At QoS 1: resolves at the PUBACK. While the line is down messages wait, and are sent when it is back. */
  publish(
    channel: DeviceChannel,
    message: object,
    options?: { stream?: string; retain?: boolean },
  ): Promise<void>;
  /** Seconds of silence from now on after which the broker is asked whether it is there: the connection is made anew. */
  keepAlive(seconds: number): Promise<void>;
  /** Says goodbye with presence offline, once all that was published is acknowledged. */
  close(): Promise<void>;
  /** As a power cut: without a word, so that the broker sends the last will. */
  cut(): void;
}

export interface LinkOptions {
  identity: DeviceIdentity;
  /** ms since 1970 */
  now: () => number;
  signal?: AbortSignal | undefined;
  /** Default 30. */
  keepAliveS?: number;
  /** After the connection and its subscriptions, each time. */
  onOnline(): void;
  onOffline(): void;
  onMessage(channel: 'desired' | 'command', payload: Uint8Array): void;
}

/** mTLS with the device's own certificate. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
export async function openLink(options: LinkOptions): Promise<DeviceLink> {
  const { identity, now, signal } = options;
  const { name, urls } = identity;
  const topic = (channel: DeviceChannel, stream?: string) => topicOf(name, channel, stream);
  const client: MqttClient = await connectBroker(urls.mqtts, {
    ca: identity.ca,
    cert: identity.certificate,
    key: identity.key,
    clientId: name,
    keepalive: options.keepAliveS ?? 30,
    will: {
      topic: topic('presence'),
      payload: encodeMessage({ online: false, t: now() }),
      qos: 1,
      retain: true,
    },
    ...(signal ? { signal } : {}),
  });
  const publish: DeviceLink['publish'] = async (channel, message, { stream, retain = false } = {}) => {
    try {
      await client.publishAsync(topic(channel, stream), encodeMessage(message), { qos: 1, retain });
    } catch (error) {
      throw brokerError(error, urls.mqtts);
    }
  };
  const online = () => {
    publish('presence', { online: true, t: now() }, { retain: true }).catch(() => {});
    options.onOnline();
  };
  client.on('message', (received, payload) => {
    if (received === topic('desired')) options.onMessage('desired', payload);
    else if (received === topic('command')) options.onMessage('command', payload);
  });
  client.on('close', options.onOffline);
  try {
    await client.subscribeAsync([topic('desired'), topic('command')], { qos: 1 });
  } catch (error) {
    client.end(true);
    throw brokerError(error, urls.mqtts);
  }
  client.on('connect', online);
  online();
  return {
    get online() {
      return client.connected;
    },
    publish,
    async keepAlive(seconds) {
      client.options.keepalive = seconds;
      await client.endAsync();
      const back = new Promise((resolve) => client.once('connect', resolve));
      client.reconnect();
      // Where the broker is away, what is published waits for it as after any loss.
      await Promise.race([back, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
      if (client.connected) await client.subscribeAsync([topic('desired'), topic('command')], { qos: 1 });
    },
    async close() {
      client.off('close', options.onOffline);
      if (client.connected) {
        const offline = publish('presence', { online: false, t: now() }, { retain: true });
        await Promise.race([
          offline.catch(() => {}),
          new Promise((resolve) => setTimeout(resolve, 2000).unref()),
        ]);
      }
      await disconnectBroker(client);
    },
    cut() {
      client.off('close', options.onOffline);
      client.stream.destroy();
      client.end(true);
    },
  };
}

type Publish = DeviceLink['publish'];

/** The line to the broker as the rest of the device sees it: it may not be there yet, or be away for a reboot. */
export interface Radio {
  readonly link: DeviceLink | null;
  /** Waits for the line, then for the PUBACK. */
  publish: Publish;
  /** For what is only worth saying now: nothing without a line, and no error. */
  tell(channel: DeviceChannel, message: object, options?: { retain?: boolean }): void;
  attach(link: DeviceLink): void;
  /** The line is gone, and another may come. */
  detach(): void;
  /** There will be no other. */
  fail(error: unknown): void;
}

export function createRadio(): Radio {
  let link: DeviceLink | null = null;
  let linked = deferred<DeviceLink>();
  return {
    get link() {
      return link;
    },
    publish: async (...message) => (await linked.promise).publish(...message),
    tell(...message) {
      link?.publish(...message).catch(() => {});
    },
    attach(opened) {
      link = opened;
      linked.resolve(opened);
    },
    detach() {
      link = null;
      linked = deferred<DeviceLink>();
    },
    fail(error) {
      link = null;
      linked.reject(error);
      linked = deferred<DeviceLink>();
      linked.reject(error);
    },
  };
}

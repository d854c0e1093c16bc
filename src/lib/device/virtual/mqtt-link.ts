import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { deferred } from '../../core/tasks.js';
import { brokerError, connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import type { DeviceIdentity } from '../identity/identity.js';
import { type DeviceChannel, encodeMessage, topicOf } from '../protocol/codec.js';

/** A device's connection to its broker. */
export interface DeviceLink {
  readonly online: boolean;
  /** Publishes at QoS 1 and resolves at the PUBACK. While the device is disconnected, messages wait until it reconnects. */
  publish(
    channel: DeviceChannel,
    message: object,
    options?: { stream?: string; retain?: boolean },
  ): Promise<void>;
  /** Changes the MQTT keep-alive interval, which requires a new connection. */
  keepAlive(seconds: number): Promise<void>;
  /** Once all messages are acknowledged, publishes that the device is offline, and disconnects. */
  close(): Promise<void>;
  /** Simulates a power cut: sends no DISCONNECT, so that the broker publishes the last will. */
  cut(): void;
}

export interface LinkOptions {
  identity: DeviceIdentity;
  /** ms since 1970 */
  now: () => number;
  signal?: AbortSignal | undefined;
  /** Keep-alive interval, s; default 30. */
  keepAliveS?: number;
  /** Called each time the connection and its subscriptions are established. */
  onOnline(): void;
  onOffline(): void;
  onMessage(channel: 'desired' | 'command' | 'settings', payload: Uint8Array): void;
}

/** How long a broker may take to confirm the subscriptions, ms. */
const subscribingMs = 45_000;
/** Longest pause between connections whose subscriptions are rejected, ms. */
const longestPeriodMs = 60_000;

/** Connects by mutual TLS with the device's own certificate. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
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
    // mqtt.js would ignore a rejected subscription after a reconnect.
    resubscribe: false,
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
  const subscribe = async () => {
    const answer = client.subscribeAsync([topic('desired'), topic('command'), topic('settings')], { qos: 1 });
    const late = delay(subscribingMs, undefined, { ref: false }).then(() => {
      throw new Error('the broker does not confirm the subscriptions');
    });
    late.catch(() => {});
    await Promise.race([answer, late]);
  };
  const usualPeriod = client.options.reconnectPeriod ?? 1000;
  let closed = false;
  const online = () => {
    if (closed) return;
    client.options.reconnectPeriod = usualPeriod;
    publish('presence', { online: true, t: now() }, { retain: true }).catch(() => {});
    options.onOnline();
  };
  const reconnected = () => {
    const { stream, options: settings } = client;
    // Connected but without its subscriptions, for example on an overloaded broker, the device would never be offered an update.
    subscribe().then(online, () => {
      settings.reconnectPeriod = Math.min(longestPeriodMs, 2 * (settings.reconnectPeriod ?? usualPeriod));
      stream.destroy();
    });
  };
  client.on('message', (received, payload) => {
    if (received === topic('desired')) options.onMessage('desired', payload);
    else if (received === topic('command')) options.onMessage('command', payload);
    else if (received === topic('settings')) options.onMessage('settings', payload);
  });
  client.on('close', options.onOffline);
  try {
    await subscribe();
  } catch (error) {
    client.end(true);
    throw brokerError(error, urls.mqtts);
  }
  client.on('connect', reconnected);
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
      // If the broker is unreachable, messages wait, as after any connection loss.
      await Promise.race([back, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
    },
    async close() {
      closed = true;
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
      closed = true;
      client.off('close', options.onOffline);
      client.stream.destroy();
      client.end(true);
    },
  };
}

type Publish = DeviceLink['publish'];

/** The broker connection for the rest of the device. The connection may not exist yet, or be closed during a reboot. */
export interface Radio {
  readonly link: DeviceLink | null;
  /** Waits for the connection, then for the PUBACK. */
  publish: Publish;
  /** Number of messages that wait for the connection or for their PUBACK. */
  readonly waiting: number;
  /** Sends a message that is only relevant now. Without a connection, the message is dropped silently. */
  tell(channel: DeviceChannel, message: object, options?: { retain?: boolean }): void;
  attach(link: DeviceLink): void;
  /** Called when the connection is closed; another one may follow. */
  detach(): void;
  /** Called when no other connection will follow; waiting messages fail with this error. */
  fail(error: unknown): void;
}

export function createRadio(): Radio {
  let link: DeviceLink | null = null;
  let linked = deferred<DeviceLink>();
  let waiting = 0;
  return {
    get waiting() {
      return waiting;
    },
    get link() {
      return link;
    },
    async publish(...message) {
      waiting++;
      try {
        await (await linked.promise).publish(...message);
      } finally {
        waiting--;
      }
    },
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

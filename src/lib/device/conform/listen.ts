import type { MqttClient } from 'mqtt';
import type { ZodType } from 'zod';
import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import { brokerError, connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import { type DeviceChannel, decodeMessage, parseTopic, topicOf } from '../protocol/codec.js';
import { logSchema, replySchema } from '../protocol/control.js';
import { inferenceSchema, presenceSchema, reportedSchema, telemetrySchema } from '../protocol/messages.js';

/** A message from the device. */
export interface Seen {
  /** ms since 1970 */
  at: number;
  topic: string;
  channel: DeviceChannel;
  stream: string | undefined;
  qos: number;
  /** Whether the message was published before the client subscribed. */
  retained: boolean;
  /** null if the payload is invalid for its channel; `wrong` is then the reason. */
  value: Record<string, unknown> | null;
  wrong: string | null;
}

/** All messages that the broker delivers to an operator for one device, in order of arrival. */
export interface Listener {
  readonly seen: readonly Seen[];
  /** The first matching message in `seen`, starting at index `from`; null if none arrives within `withinMs`. */
  next(fits: (seen: Seen) => boolean, from: number, withinMs: number): Promise<Seen | null>;
  /** Publishes at QoS 1, not retained. */
  publish(channel: 'command' | 'desired', payload: Buffer): Promise<void>;
  /** Fetches the retained messages on the device's channels again. */
  retained(): Promise<Seen[]>;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** mqtts://… */
  url: string;
  ca: string | undefined;
  username: string;
  password: string | undefined;
  device: string;
  signal: AbortSignal | undefined;
}

const spoken = {
  telemetry: telemetrySchema,
  inference: inferenceSchema,
  reported: reportedSchema,
  presence: presenceSchema,
  reply: replySchema,
  log: logSchema,
} as const satisfies Partial<Record<DeviceChannel, ZodType>>;

export type SpokenChannel = keyof typeof spoken;
export const spokenChannels = Object.keys(spoken) as SpokenChannel[];

/** Time to wait for the broker's retained messages, ms. */
const retainedMs = 1000;

/** @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { url, device, ca, username, password, signal } = options;
  const who = { username, ...(ca ? { ca } : {}), ...(password ? { password } : {}) };
  const open = () => connectBroker(url, { ...who, ...(signal ? { signal } : {}) });
  const client = await open();
  const seen: Seen[] = [];
  let heard = () => {};
  client.on('message', (topic, payload, { qos, retain }) => {
    const message = read(topic, payload, qos, retain);
    if (!message || message.retained) return;
    seen.push(message);
    heard();
  });
  // With a subscription at QoS 2, a message arrives with its original QoS.
  await subscribe(client, `aiot/v1/${device}/#`, url);
  return {
    seen,
    async next(fits, from, withinMs) {
      const end = Date.now() + withinMs;
      for (let at = from; ; ) {
        for (; at < seen.length; at++) if (fits(seen[at] as Seen)) return seen[at] as Seen;
        const left = end - Date.now();
        if (left <= 0) return null;
        const more = new Promise<void>((resolve) => {
          heard = resolve;
        });
        await within(more, left, signal);
      }
    },
    async publish(channel, payload) {
      try {
        await client.publishAsync(topicOf(device, channel), payload, { qos: 1, retain: false });
      } catch (error) {
        throw brokerError(error, url);
      }
    },
    async retained() {
      const another = await open();
      try {
        return await readRetained(another, device, url, signal);
      } finally {
        await disconnectBroker(another);
      }
    },
    close: () => disconnectBroker(client),
  };
}

/** Collects the device's retained messages until presence and `reported` have arrived, or for at most `retainedMs`. */
async function readRetained(
  client: MqttClient,
  device: string,
  url: string,
  signal: AbortSignal | undefined,
): Promise<Seen[]> {
  const found: Seen[] = [];
  const wanted = new Set<string>(['presence', 'reported']);
  const all = new Promise<void>((resolve) => {
    client.on('message', (topic, payload, { qos, retain }) => {
      const message = read(topic, payload, qos, retain);
      if (!message?.retained) return;
      found.push(message);
      wanted.delete(message.channel);
      if (wanted.size === 0) resolve();
    });
  });
  await subscribe(client, `aiot/v1/${device}/#`, url);
  await within(all, retainedMs, signal);
  return found;
}

async function subscribe(client: MqttClient, filter: string, url: string): Promise<void> {
  try {
    const [granted] = await client.subscribeAsync(filter, { qos: 2 });
    if (granted && granted.qos <= 2) return;
  } catch (error) {
    client.end(true);
    throw brokerError(error, url);
  }
  client.end(true);
  throw new AiotError('AIOT_BROKER_REFUSED', `${url}: not permitted to subscribe to ${filter}`, {
    next: 'Use an operator token without stream: scopes.',
  });
}

/** Returns null for messages from the platform and for topics outside the protocol. */
function read(topic: string, payload: Buffer, qos: number, retained: boolean): Seen | null {
  const parts = parseTopic(topic);
  const schema = parts && (spoken as Partial<Record<DeviceChannel, ZodType>>)[parts.channel];
  if (!parts || !schema) return null;
  const { channel, stream } = parts;
  const about = { at: Date.now(), topic, channel, stream, qos, retained };
  try {
    const value = decodeMessage(schema, topic, payload) as Record<string, unknown>;
    return { ...about, value, wrong: null };
  } catch (error) {
    return { ...about, value: null, wrong: error instanceof Error ? error.message : String(error) };
  }
}

/** Resolves with the promise or at the timeout. @throws the signal's reason */
async function within(promise: Promise<void>, ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await untilAborted(Promise.race([promise, late]), signal);
  } finally {
    clearTimeout(timer);
  }
}

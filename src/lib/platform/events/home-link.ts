import { homeRoot } from '../../fleet/home-assistant.js';
import { deliveriesOf, type Source } from '../../stream/message.js';
import { connectBroker, disconnectBroker } from '../../stream/mqtt/connect.js';
import type { Broker } from '../broker/broker.js';
import type { UserIdentity } from '../broker/identity.js';
import { withVariables } from './alarm-messages.js';

/** A message that Home Assistant or its broker sends. */
export interface HomeMessage {
  topic: string;
  payload: string;
  retained: boolean;
  /** Publisher; null = unknown. */
  user: UserIdentity | null;
}

/** A connection to the broker that Home Assistant uses. */
export interface HomeLink {
  /** Whether the broker identifies the publisher of a message. */
  readonly knowsUsers: boolean;
  /** Resolves when the broker has acknowledged the message. */
  publish(topic: string, payload: string, retain: boolean): Promise<void>;
  /** @param status the platform's last status on the broker; empty = none is retained */
  close(status: 'offline' | ''): Promise<void>;
}

interface LinkParts {
  broker: Pick<Broker, 'streams' | 'watchUsers'>;
  /** Address of an outside broker; null = the platform's broker. */
  url: string | null;
  prefix: string;
  platform: string;
  env: NodeJS.ProcessEnv;
  /** Receives discovery messages, births, install commands and markers. */
  receive: (message: HomeMessage) => void;
  lost: () => void;
  restored: () => void;
  /** Called when nothing can be received any more. */
  failed: (error: unknown) => void;
  signal: AbortSignal;
}

/** Larger messages are from other clients, and are not parsed. */
const mostBytes = 256 * 1024;

/** Topics that a link reads, and topics of the markers that show that all earlier messages have arrived. */
export const homeFilters = (prefix: string, platform: string) => ({
  // Home Assistant reads only topics that end with `config`, so it does not see the markers.
  discovery: `${prefix}/device/+/+`,
  marker: `${prefix}/device/aiot_${platform}/marker`,
  birth: `${prefix}/status`,
  installs: `${homeRoot(platform)}/devices/+/install/+`,
});

/** @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL, AIOT_ALARM_TARGET (a variable is missing) */
export function openHomeLink(parts: LinkParts): Promise<HomeLink> {
  return parts.url === null ? openOwnBroker(parts) : openOutside(parts, withVariables(parts.url, parts.env));
}

async function openOwnBroker({ broker, prefix, platform, receive, failed }: LinkParts): Promise<HomeLink> {
  const { discovery, birth, installs } = homeFilters(prefix, platform);
  const sources: Source[] = [];
  const read = async (filter: string) => {
    const source = await broker.streams.openSource(filter, { overflow: 'wait' });
    sources.push(source);
    const follow = async () => {
      for await (const delivery of deliveriesOf(source)) {
        const { topic, payload, retain = false } = delivery.message;
        if (payload.length <= mostBytes)
          receive({ topic, payload: Buffer.from(payload).toString(), retained: retain, user: null });
        delivery.ack();
      }
    };
    follow().catch(failed);
  };
  const stop = broker.watchUsers((user, { topic, payload, retain }) => {
    if (topic.startsWith(`${homeRoot(platform)}/`) && payload.length <= mostBytes)
      receive({ topic, payload: payload.toString(), retained: retain, user });
  });
  const close = async () => {
    stop?.();
    await Promise.allSettled(sources.map((source) => source.close()));
  };
  try {
    await read(discovery);
    await read(birth);
    if (stop === null) await read(installs);
    // Also offers messages to the readers in this process, such as the markers.
    const sink = await broker.streams.openSink(homeRoot(platform), { qos: 1 });
    return {
      knowsUsers: stop !== null,
      publish: (topic, payload, retain) => sink.write([{ topic, payload: Buffer.from(payload), retain }]),
      async close(last) {
        await close();
        // Otherwise, this broker's clients would still see the platform as online after another replica has taken over.
        await sink
          .write([{ topic: `${homeRoot(platform)}/status`, payload: Buffer.from(last), retain: true }])
          .catch(() => {});
        await sink.close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openOutside(
  { prefix, platform, receive, lost, restored, signal }: LinkParts,
  url: string,
): Promise<HomeLink> {
  const { discovery, birth, installs } = homeFilters(prefix, platform);
  const status = `${homeRoot(platform)}/status`;
  const will = { topic: status, payload: Buffer.from('offline'), qos: 1, retain: true } as const;
  const client = await connectBroker(url, { will, signal });
  client.on('message', (topic, payload, { retain }) => {
    if (payload.length <= mostBytes)
      receive({ topic, payload: payload.toString(), retained: retain, user: null });
  });
  let isLost = false;
  client.on('connect', restored);
  client.on('close', () => {
    if (!isLost && !signal.aborted) lost();
    isLost = true;
  });
  try {
    await client.subscribeAsync([discovery, birth, installs], { qos: 1 });
  } catch (error) {
    await disconnectBroker(client);
    throw error;
  }
  return {
    knowsUsers: false,
    async publish(topic, payload, retain) {
      await client.publishAsync(topic, payload, { qos: 1, retain });
    },
    async close(last) {
      // A clean disconnection does not send the will.
      if (client.connected) client.publish(status, last, { qos: 1, retain: true });
      await disconnectBroker(client);
    },
  };
}

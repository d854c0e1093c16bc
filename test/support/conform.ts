import { type DeviceChannel, encodeMessage, topicOf } from '../../src/lib/device/protocol/codec.js';
import type { DeviceLink, LinkOptions } from '../../src/lib/device/virtual/mqtt-link.js';
import { connectBroker, disconnectBroker } from '../../src/lib/stream/mqtt/connect.js';

export interface Outgoing {
  channel: DeviceChannel;
  stream?: string;
  message: Record<string, unknown>;
  qos: 0 | 1;
  retain: boolean;
}

/** Faults to inject. The device's sent and received messages pass through these functions. */
export interface Fault {
  /** Returns the messages that are published instead. */
  says?(out: Outgoing): Outgoing[];
  /** Returns the messages that are passed on instead; `say` sends a message to the broker. */
  hears?(channel: 'desired' | 'command', payload: Buffer, say: (out: Outgoing) => void): Buffer[];
}

/**
 * A device's connection to its broker with injected faults. Without a fault, it behaves like the virtual
 * device's connection.
 */
export function faultyLink(fault: Fault): (options: LinkOptions) => Promise<DeviceLink> {
  return async ({ identity, now, onOnline, onOffline, onMessage }) => {
    const { name, urls, ca, certificate: cert, key } = identity;
    const away = encodeMessage({ online: false, t: 0 });
    const will = { topic: topicOf(name, 'presence'), payload: away, qos: 1 as const, retain: true };
    const client = await connectBroker(urls.mqtts, {
      ...{ ca, cert, key, clientId: name },
      will,
    });
    const send = async (out: Outgoing) => {
      // A duplicate is sent immediately, before the next message.
      const said = (fault.says?.(out) ?? [out]).map(({ channel, stream, message, qos, retain }) =>
        client.publishAsync(topicOf(name, channel, stream), encodeMessage(message), { qos, retain }),
      );
      await Promise.all(said);
    };
    const presence = (online: boolean) =>
      send({ channel: 'presence', message: { online, t: now() }, qos: 1, retain: true });
    client.on('message', (topic, payload) => {
      const channel = topic === topicOf(name, 'desired') ? 'desired' : 'command';
      const say = (out: Outgoing) => void send(out);
      for (const heard of fault.hears?.(channel, payload, say) ?? [payload]) onMessage(channel, heard);
    });
    client.on('close', onOffline);
    await client.subscribeAsync([topicOf(name, 'desired'), topicOf(name, 'command')], { qos: 1 });
    await presence(true);
    onOnline();
    return {
      get online() {
        return client.connected;
      },
      publish: (channel, message, { stream, retain = false } = {}) =>
        send({
          ...{ channel, message: message as Record<string, unknown>, qos: 1, retain },
          ...(stream === undefined ? {} : { stream }),
        }),
      // The faults do not affect keep-alive requests to the broker.
      async keepAlive() {},
      async close() {
        client.off('close', onOffline);
        await presence(false);
        await disconnectBroker(client);
      },
      cut() {
        client.stream.destroy();
        client.end(true);
      },
    };
  };
}

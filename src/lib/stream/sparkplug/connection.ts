import type { MqttClient } from 'mqtt';
import { connectBroker, disconnectBroker } from '../mqtt/connect.js';
import type { StreamUrl } from '../url.js';
import type { EdgeNode } from './edge-node.js';

/** An edge node's connection to its broker. */
export interface EdgeConnection {
  client: MqttClient;
  /** Sends at once, or not at all: messages that waited for the next connection would precede its births. */
  send(messages: ReturnType<EdgeNode['births']>): void;
  /** Declares the node offline, and disconnects. */
  close(): Promise<void>;
}

/**
 * Connects an edge node: each connection begins with its births, and a will that matches them. Requests for births are answered.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function connectEdgeNode(
  node: EdgeNode,
  broker: string | StreamUrl,
  options: Parameters<typeof connectBroker>[1] = {},
): Promise<EdgeConnection> {
  const client = await connectBroker(broker, {
    // The broker ends an earlier connection of the same client, and publishes its will, before it accepts the new one.
    clientId: `aiot-${node.group}-${node.name}`,
    ...options,
    will: willOf(node),
  });
  const send: EdgeConnection['send'] = (messages) => {
    if (!client.connected) return;
    for (const { topic, payload, qos } of messages) client.publish(topic, Buffer.from(payload), { qos });
  };
  const begin = () => {
    client.subscribe(node.commands, { qos: 1 });
    send(node.births());
  };
  client.on('reconnect', () => {
    client.options.will = willOf(node);
  });
  client.on('message', (_topic, payload) => send(node.answer(payload)));
  client.on('connect', begin);
  begin();
  return {
    client,
    send,
    async close() {
      send([node.death()]);
      await disconnectBroker(client);
    },
  };
}

function willOf(node: EdgeNode) {
  const { topic, payload, qos } = node.will();
  return { topic, payload: Buffer.from(payload), qos, retain: false };
}

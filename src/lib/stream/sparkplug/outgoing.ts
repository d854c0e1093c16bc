import type { MqttClient } from 'mqtt';
import { AiotError } from '../../core/errors.js';
import { decodeAuto } from '../decode/values.js';
import type { OutgoingMessage } from '../message.js';
import type { MetricValue } from './edge-node.js';

/**
 * Whether the broker has received everything sent so far. QoS 0 has no acknowledgment, but a broker reads a connection's packets in
 * order. Its answer to an UNSUBSCRIBE, of a subscription that need not exist, therefore confirms the packets before it.
 */
export function isConfirmed(client: MqttClient, topic: string): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isReceived: boolean) => {
      client.off('close', lost);
      resolve(isReceived);
    };
    const lost = () => settle(false);
    client.on('close', lost);
    if (!client.connected) return settle(false);
    client.unsubscribe(`${topic}/none`, (error) => settle(!error));
  });
}

export function refused(endpoint: string, problem: string): AiotError {
  return new AiotError('AIOT_STREAM_MESSAGE_REFUSED', `${endpoint}: ${problem}`, {
    endpoint,
    next: 'Set the device with `topic`, and its metrics with `map`.',
  });
}

/** The device of a message; null = the edge node itself. */
export function deviceOf({ topic }: OutgoingMessage, path: string): string | null {
  return topic === '' || topic === path ? null : topic.slice(topic.lastIndexOf('/') + 1);
}

/** The metrics of a JSON object; nested members are named like `motor/speed`. */
export function valuesOf({ payload }: OutgoingMessage, endpoint: string): Map<string, MetricValue> {
  const values = new Map<string, MetricValue>();
  const add = (value: object, prefix: string, depth: number) => {
    for (const [name, member] of Object.entries(value))
      if (typeof member === 'object' && member !== null && !Array.isArray(member) && depth < 8)
        add(member as object, `${prefix}${name}/`, depth + 1);
      else values.set(`${prefix}${name}`, { value: member });
  };
  const decoded = decodeAuto(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));
  const isObject = typeof decoded === 'object' && decoded !== null;
  if (!isObject || Array.isArray(decoded) || decoded instanceof Uint8Array)
    throw refused(endpoint, 'expected a message with a JSON object');
  add(decoded, '', 0);
  return values;
}

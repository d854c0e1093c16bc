import type { MqttClient } from 'mqtt';
import { AiotError } from '../../core/index.js';
import type { OutgoingMessage, Sink } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { connectBroker, disconnectBroker } from './connect.js';
import { brokerError } from './errors.js';

/** Longest wait for a PUBACK, ms. */
const writeTimeoutMs = 30_000;

/**
 * Publishes, by default at QoS 1: `write` resolves at the PUBACK, at QoS 0 when the bytes are handed to the system.
 * A message without a topic goes to the URL's.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openMqttSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const { ca, cert, key, username, password, connectTimeoutMs } = options;
  const client = await connectBroker(url, { ca, cert, key, username, password, connectTimeoutMs });
  const { endpoint } = url;
  const waiting = new Set<Waiting>();
  watchForRefusal(client, waiting, endpoint);
  return {
    endpoint,
    write: async (messages) => {
      await Promise.all(messages.map(writeOne));
    },
    close: () => disconnectBroker(client),
  };

  async function writeOne(message: OutgoingMessage): Promise<void> {
    const topic = message.topic || url.path;
    if (topic === '' || /[+#\0]/.test(topic)) {
      throw new AiotError('AIOT_STREAM_URL', `${endpoint}: expected a topic without + and #, got "${topic}"`);
    }
    const write = pendingWrite(topic, endpoint);
    waiting.add(write);
    try {
      await Promise.race([send(client, topic, message), write.failed]);
    } catch (error) {
      throw brokerError(error, endpoint);
    } finally {
      write.end();
      waiting.delete(write);
    }
  }
}

function send(client: MqttClient, topic: string, message: OutgoingMessage): Promise<unknown> {
  const { payload, qos = 1, retain = false } = message;
  const sent = client.publishAsync(topic, Buffer.from(payload), { qos, retain });
  // It fails once more when the client is closed, long after the write was given up.
  sent.catch(() => {});
  return sent;
}

/** A write without its PUBACK. */
interface Waiting {
  topic: string;
  /** How often the broker hung up on it. */
  hangUps: number;
  failed: Promise<never>;
  fail(error: AiotError): void;
  end(): void;
}

function pendingWrite(topic: string, endpoint: string): Waiting {
  let fail: (error: AiotError) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  const timer = setTimeout(() => {
    const message = `${endpoint}: no PUBACK within ${writeTimeoutMs} ms`;
    fail(new AiotError('AIOT_BROKER_UNREACHABLE', message, { endpoint, retryable: true }));
  }, writeTimeoutMs);
  return { topic, hangUps: 0, failed, fail, end: () => clearTimeout(timer) };
}

/**
 * A 3.1.1 broker has no way to say that a topic is not allowed but to hang up: twice on the same message, after it had let
 * us in, is taken as that.
 */
function watchForRefusal(client: MqttClient, waiting: Set<Waiting>, endpoint: string): void {
  // mqtt.js sends again what is waiting before it emits `connect`, which then never comes: the packet tells.
  let letIn = true;
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'connack') letIn = packet.returnCode === 0;
  });
  client.on('close', () => {
    if (!letIn) return;
    letIn = false;
    for (const write of waiting) {
      if (++write.hangUps < 2) continue;
      const message = `${endpoint} hangs up when we publish to ${write.topic}`;
      write.fail(new AiotError('AIOT_BROKER_REFUSED', message, { endpoint }));
    }
  });
}

import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { refusalOf } from '../mqtt/connect.js';
import type { StreamUrl } from '../url.js';
import { sinkAddress } from './address.js';
import { openCommandSink } from './commands.js';
import { connectEdgeNode } from './connection.js';
import { EdgeNode } from './edge-node.js';
import { deviceOf, isConfirmed, refused, valuesOf } from './outgoing.js';
import { levelPattern, sparkplugCodec } from './payload.js';

/** How long `close` waits for messages in flight, ms. */
const closeMs = 5000;

/** Number of connections on which the same messages are sent. */
const mostAttempts = 3;

/** Maximum number of metrics of one edge node, because each birth contains all metrics of its device. */
const mostMetrics = 100_000;

/**
 * Publishes as a Sparkplug edge node. The members of a message's JSON object become metrics of a device: the one in the URL, or else
 * the last level of the message's topic. Data is sent at QoS 0, as the specification requires, and confirmed by the broker's answer
 * to a later packet.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL; while writing AIOT_STREAM_MESSAGE_REFUSED
 * @param broker the broker's MQTT address
 */
export async function openSparkplugSink(
  url: StreamUrl,
  broker: StreamUrl,
  options: StreamOptions,
): Promise<Sink> {
  const { endpoint } = url;
  const address = sinkAddress(url, options);
  if (address.commands) return openCommandSink(url, broker, options, address);
  const { group, node: name, device: fixed, aliases, clientId, keepalive } = address;
  const node = new EdgeNode({ codec: await sparkplugCodec(), group, node: name, aliases, now: Date.now });
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  let isClosed = false;
  let why: AiotError | undefined;
  const connection = await connectEdgeNode(node, broker, {
    ...{ ca, cert, key, username, password },
    ...(clientId === undefined ? {} : { clientId }),
    ...(keepalive === undefined ? {} : { keepalive }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  const { client, send } = connection;
  const known = new Set<string>();
  client.on('connect', () => options.onState?.('connected'));
  const lost = () => {
    options.onState?.('disconnected', why);
    why = undefined;
  };
  client.on('close', lost);
  client.on('error', (error) => {
    why = refusalOf(error, endpoint) ?? why;
  });

  const measured = (message: OutgoingMessage) => {
    const device = fixed ?? deviceOf(message, url.path);
    if (device !== null && !levelPattern.test(device))
      throw refused(endpoint, `the message's topic names no device: "${device}"`);
    const values = valuesOf(message, endpoint);
    const names = [...values.keys()].map((metric) => `${device ?? ''}/${metric}`);
    const added = names.filter((name) => !known.has(name));
    // A refused message must not count, or the sink would refuse all later ones.
    if (known.size + added.length > mostMetrics)
      throw refused(endpoint, `the edge node would have more than ${mostMetrics} metrics`);
    for (const name of added) known.add(name);
    return { device, values, time: message.time };
  };

  let last: Promise<unknown> = Promise.resolve();
  return {
    endpoint,
    write(messages) {
      const written = last.then(async () => {
        const updates = messages.filter(({ tombstone }) => !tombstone).map(measured);
        for (let attempt = 1; ; attempt++) {
          await whileDisconnected();
          for (const { device, values, time } of updates) send(node.update(device, values, time));
          if (await isConfirmed(client, node.commands)) return;
          // A broker also closes the connection on a message that it does not accept.
          if (attempt === mostAttempts)
            throw unreachable('the broker closes the connection on these messages');
        }
      });
      last = written.catch(() => {});
      return written;
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, client.connected ? closeMs : 0);
      });
      await Promise.race([last, late]);
      clearTimeout(timer);
      isClosed = true;
      client.off('close', lost);
      await connection.close();
      client.emit('close');
      await last;
    },
  };

  function unreachable(problem: string): AiotError {
    return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${problem}`, { endpoint });
  }

  async function whileDisconnected(): Promise<void> {
    while (!client.connected) {
      if (isClosed) throw unreachable('closed before the message was sent');
      await new Promise<void>((resolve) => {
        const settle = () => {
          client.off('connect', settle).off('close', settle);
          resolve();
        };
        client.on('connect', settle).on('close', settle);
      });
    }
  }
}

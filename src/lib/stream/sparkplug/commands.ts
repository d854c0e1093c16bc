import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { brokerError, connectBroker, disconnectBroker, refusalOf } from '../mqtt/connect.js';
import type { StreamUrl } from '../url.js';
import type { sinkAddress } from './address.js';
import { deviceOf, isConfirmed, refused, valuesOf } from './outgoing.js';
import {
  dataType,
  levelPattern,
  type Metric,
  namespace,
  rebirthMetric,
  sparkplugCodec,
  typeName,
  valueAs,
} from './payload.js';

/** How long a node has to answer a request for its births, ms. */
const birthMs = 5000;

/** Maximum number of metrics of which the types are kept, besides those of the last birth: a node may invent devices. */
const mostMetrics = 100_000;

/** How long `close` waits for commands in flight, ms. */
const closeMs = 5000;

/** Number of metrics that a refusal names. */
const mostNamed = 8;

/**
 * Sends commands to an edge node and its devices (NCMD, DCMD), as a host application. Each member of a message's JSON object sets a
 * metric; its data type is the one that the node declared in its births, which are requested first. Messages that are written together are
 * sent only if all of them can be. A command is sent once by each `write`: if the connection ends before the broker has confirmed it,
 * writing fails, and it is unknown whether the command arrived.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL; while writing AIOT_STREAM_MESSAGE_REFUSED
 * @param broker the broker's MQTT address
 */
export async function openCommandSink(
  url: StreamUrl,
  broker: StreamUrl,
  options: StreamOptions,
  { group, node, device: fixed, clientId, keepalive }: ReturnType<typeof sinkAddress>,
): Promise<Sink> {
  const { endpoint } = url;
  const codec = await sparkplugCodec();
  const topicOf = (type: string, device?: string | null) =>
    `${namespace}/${group}/${type}/${node}${device ? `/${device}` : ''}`;
  const births = new Births(topicOf('NBIRTH'), `${topicOf('DBIRTH')}/`);
  const deaths = `${topicOf('DDEATH')}/`;
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  const client = await connectBroker(broker, {
    ...{ ca, cert, key, username, password },
    ...(clientId === undefined ? {} : { clientId }),
    ...(keepalive === undefined ? {} : { keepalive }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  let why: AiotError | undefined;
  client.on('error', (error) => {
    why = refusalOf(error, endpoint) ?? why;
  });
  client.on('message', (topic, payload) => {
    if (topic === topicOf('NDEATH')) return births.forget();
    if (topic.startsWith(deaths)) return births.forget(topic.slice(deaths.length));
    try {
      births.read(topic, codec.decode(payload).metrics);
    } catch {
      // A damaged birth declares nothing, so its node counts as silent.
    }
  });
  const heard = [topicOf('NBIRTH'), `${topicOf('DBIRTH')}/+`, topicOf('NDEATH'), `${deaths}+`];
  client.on('connect', () => {
    client.subscribe(heard, { qos: 1 });
    options.onState?.('connected');
  });
  const lost = () => {
    // The node may be replaced in the meantime.
    births.forget();
    births.endWaits();
    options.onState?.('disconnected', why);
    why = undefined;
  };
  client.on('close', lost);
  await client.subscribeAsync(heard, { qos: 1 }).catch(async (error) => {
    client.off('close', lost);
    await disconnectBroker(client);
    throw brokerError(error, endpoint);
  });

  const send = async (device: string | null, metrics: Metric[]) => {
    const topic = topicOf(device === null ? 'NCMD' : 'DCMD', device);
    if (!client.connected) throw unreachable('is not connected, so the command was not sent');
    client.publish(topic, Buffer.from(codec.encode({ time: Date.now(), metrics })), { qos: 0 });
    if (!(await isConfirmed(client, topic)))
      throw unreachable('the connection ended; it is not known whether the command arrived');
  };

  let requestedAt = Number.NEGATIVE_INFINITY;
  /** The types of a device's metrics, after its birth. */
  const typesOf = async (device: string | null) => {
    const known = births.of(device);
    if (known) return known;
    // Births that were requested a moment ago may still arrive.
    if (Date.now() - requestedAt >= birthMs) {
      requestedAt = Date.now();
      await send(null, [{ name: rebirthMetric, type: dataType.boolean, value: true }]);
    }
    const found = await births.wait(device, birthMs);
    if (found) return found;
    if (!client.connected) throw unreachable('the connection ended, and the command was not sent');
    const name = device === null ? `the edge node ${group}/${node}` : `the device ${group}/${node}/${device}`;
    throw new AiotError(
      'AIOT_STREAM_MESSAGE_REFUSED',
      `${endpoint}: ${name} did not answer a request for its metrics within ${birthMs / 1000} s`,
      {
        endpoint,
        next: `Check that it is online: aiot stream tail '${url.scheme}://${url.host}/${group}/${node}'`,
      },
    );
  };

  const commandOf = async (message: OutgoingMessage) => {
    const device = fixed ?? deviceOf(message, url.path);
    if (device !== null && !levelPattern.test(device))
      throw refused(endpoint, `the message's topic names no device: "${device}"`);
    const values = valuesOf(message, endpoint);
    const types = await typesOf(device);
    const time = Date.now();
    const metrics = [...values].map(([name, { value }]) => {
      const type = types.get(name);
      if (type === undefined)
        throw unsuitable(`there is no metric "${name}"`, `The metrics are ${listed([...types.keys()])}.`);
      const given = valueAs(value, type);
      if (given !== undefined) return { name, type, time, value: given };
      const written = typeName(type);
      throw written === undefined
        ? unsuitable(`aiot cannot send values of the data type of ${name} (${type})`, 'Set other metrics.')
        : unsuitable(
            `${name} is of type ${written}, which ${JSON.stringify(value)} does not fit`,
            'Send a value of that type.',
          );
    });
    return { device, metrics };
  };

  let last: Promise<unknown> = Promise.resolve();
  return {
    endpoint,
    write(messages) {
      const written = last.then(async () => {
        const commands = [];
        for (const message of messages) if (!message.tombstone) commands.push(await commandOf(message));
        for (const { device, metrics } of commands) if (metrics.length > 0) await send(device, metrics);
      });
      last = written.catch(() => {});
      return written;
    },
    async close() {
      births.endWaits();
      await Promise.race([last, delay(client.connected ? closeMs : 0, undefined, { ref: false })]);
      client.off('close', lost);
      await disconnectBroker(client);
    },
  };

  function unreachable(problem: string): AiotError {
    return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${problem}`, { endpoint });
  }

  function unsuitable(problem: string, next: string): AiotError {
    return new AiotError('AIOT_STREAM_MESSAGE_REFUSED', `${endpoint}: ${problem}`, { endpoint, next });
  }
}

function listed(names: string[]): string {
  const more = names.length - mostNamed;
  return `${names.slice(0, mostNamed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The data types that one edge node's births declare. */
class Births {
  private readonly known = new Map<string | null, Map<string, number>>();
  private readonly waiting = new Set<(isLast: boolean) => void>();
  private size = 0;

  /**
   * @param nodeTopic topic of the node's birth
   * @param deviceTopics start of the topics of its devices' births
   */
  constructor(
    private readonly nodeTopic: string,
    private readonly deviceTopics: string,
  ) {}

  read(topic: string, metrics: readonly Metric[]): void {
    const isNode = topic === this.nodeTopic;
    if (!isNode && !topic.startsWith(this.deviceTopics)) return;
    const device = isNode ? null : topic.slice(this.deviceTopics.length);
    const types = new Map<string, number>();
    for (const { name, type } of metrics) if (name !== undefined) types.set(name, type ?? 0);
    this.forget(device);
    this.known.set(device, types);
    this.size += types.size + 1;
    for (const oldest of this.known.keys()) {
      if (this.size <= mostMetrics || oldest === device) break;
      this.forget(oldest);
    }
    for (const settle of [...this.waiting]) settle(false);
  }

  of(device: string | null): ReadonlyMap<string, number> | undefined {
    return this.known.get(device);
  }

  /** @param device null = only the node's own metrics; absent = everything */
  forget(device?: string | null): void {
    if (device === undefined) {
      this.known.clear();
      this.size = 0;
      return;
    }
    const types = this.known.get(device);
    if (types === undefined) return;
    this.known.delete(device);
    this.size -= types.size + 1;
  }

  endWaits(): void {
    for (const settle of [...this.waiting]) settle(true);
  }

  /** Resolves once the device was born, or to undefined after `ms`, or when waits are ended. */
  wait(device: string | null, ms: number): Promise<ReadonlyMap<string, number> | undefined> {
    return new Promise((resolve) => {
      const settle = (isLast: boolean) => {
        const found = this.known.get(device);
        if (found === undefined && !isLast) return;
        clearTimeout(timer);
        this.waiting.delete(settle);
        resolve(found);
      };
      const timer = setTimeout(() => settle(true), ms);
      this.waiting.add(settle);
      settle(false);
    });
  }
}

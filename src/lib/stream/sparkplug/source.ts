import type { MqttClient } from 'mqtt';
import { AiotError } from '../../core/errors.js';
import type { Delivery, Message, Source, StreamOptions } from '../message.js';
import { connectBroker, disconnectBroker } from '../mqtt/connect.js';
import { openMqttSource } from '../mqtt/source.js';
import type { StreamUrl } from '../url.js';
import { type SparkplugPlace, sourceAddress } from './address.js';
import {
  dataType,
  type MessageType,
  type Metric,
  messageTypes,
  namespace,
  readValue,
  rebirthMetric,
  type SparkplugCodec,
  type SparkplugPayload,
  sparkplugCodec,
} from './payload.js';

/**
 * Reads the messages of Sparkplug edge nodes as a host application: each becomes JSON with the metrics by name. The names and types in
 * data come from births. If a birth or another message was missed, the source requests new births.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 * @param broker the broker's MQTT address
 */
export async function openSparkplugSource(
  url: StreamUrl,
  broker: StreamUrl,
  options: StreamOptions,
): Promise<Source> {
  const { endpoint } = url;
  const { host: hostName, rebirth, place } = sourceAddress(url);
  const codec = await sparkplugCodec();
  let reader: HostReader | undefined;
  const onState: StreamOptions['onState'] = (state, why) => {
    reader?.interrupted(Date.now());
    options.onState?.(state, why);
  };
  const source = await openMqttSource(
    { ...broker, path: filterOf(place), query: {} },
    { ...options, onState },
  );
  const control =
    rebirth || hostName !== undefined
      ? await openControl(broker, options, hostName).catch(async (error) => {
          await source.close();
          throw error;
        })
      : undefined;
  const request = (topic: string) => {
    if (!rebirth || !control?.client.connected) return false;
    const metrics = [{ name: rebirthMetric, type: dataType.boolean, value: true }];
    control.client.publish(topic, Buffer.from(codec.encode({ time: Date.now(), metrics })), { qos: 0 });
    return true;
  };
  const host = new HostReader(codec, request, () => performance.now());
  reader = host;
  return {
    endpoint,
    get dropped() {
      return source.dropped;
    },
    async *[Symbol.asyncIterator]() {
      for await (const batch of source) {
        const read = batch.flatMap((delivery) => readAs(delivery, host, place, endpoint));
        if (read.length > 0) yield read;
      }
    },
    async close() {
      await Promise.all([source.close(), control?.close()]);
    },
  };
}

/** `G/#` also matches the levels above it, so a node's filter includes the node's own messages. */
function filterOf({ group, node }: SparkplugPlace): string {
  return node === '+' ? `${namespace}/${group}/#` : `${namespace}/${group}/+/${node}/#`;
}

/** The connection for commands and for the host's state. */
async function openControl(broker: StreamUrl, options: StreamOptions, host: string | undefined) {
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  const topic = `${namespace}/STATE/${host}`;
  let since = Date.now();
  const state = (online: boolean) => Buffer.from(JSON.stringify({ online, timestamp: since }));
  const will = () => ({ topic, payload: state(false), qos: 1 as const, retain: true });
  const client: MqttClient = await connectBroker(broker, {
    ...{ ca, cert, key, username, password },
    ...(host === undefined ? {} : { will: will() }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  const tell = (online: boolean) => client.publish(topic, state(online), { qos: 1, retain: true });
  const begin = () => {
    client.subscribe(topic, { qos: 1 });
    tell(true);
  };
  if (host !== undefined) {
    client.on('reconnect', () => {
      since = Date.now();
      client.options.will = will();
    });
    // The will of an earlier connection may arrive late.
    client.on('message', (heard, payload) => {
      if (heard === topic && client.connected && /"online"\s*:\s*false/.test(payload.toString())) tell(true);
    });
    client.on('connect', begin);
    client.subscribe(topic, { qos: 1 });
    // The state is stored before the first message is read.
    await client.publishAsync(topic, state(true), { qos: 1, retain: true });
  }
  return {
    client,
    async close() {
      client.removeAllListeners('message');
      if (host !== undefined && client.connected) tell(false);
      await disconnectBroker(client);
    },
  };
}

function readAs(delivery: Delivery, reader: HostReader, place: SparkplugPlace, endpoint: string): Delivery[] {
  const { message } = delivery;
  const found = reader.read(message);
  const isWanted = (device: string | null) => place.device === undefined || place.device === device;
  const wanted = found.filter(({ device }) => isWanted(device));
  if (wanted.length === 0) delivery.ack();
  let open = wanted.length;
  let isRefused = false;
  const settle = (isStored: boolean) => {
    isRefused ||= !isStored;
    if (--open > 0) return;
    if (isRefused) delivery.nack();
    else delivery.ack();
  };
  return wanted.map((value) => ({
    message: {
      topic: message.topic,
      payload: Buffer.from(JSON.stringify(value)),
      time: value.time,
      headers: [['content-type', 'application/json']],
      source: endpoint,
    },
    ack: () => settle(true),
    nack: () => settle(false),
  }));
}

/** A message as JSON. */
export interface SparkplugValue {
  type: MessageType;
  group: string;
  node: string;
  device: string | null;
  /** Whether the node or device is online after the message. */
  online: boolean;
  /** ms since 1970: of the newest metric, the message, or its arrival. */
  time: number;
  metrics: Record<string, unknown>;
  /** Times of the metrics that have another time than the message. */
  times?: Record<string, number>;
  /** The values were stored by the node while it was offline. */
  historical?: true;
  /** Messages before this one were lost. */
  gap?: true;
  /** Values whose names are unknown, by alias. */
  unresolved?: Record<string, unknown>;
  /** Why the payload could not be read. */
  error?: string;
  /** The payload that could not be read, in base64. */
  payload?: string;
}

interface Known {
  names: Map<string, string>;
  types: Map<string, number>;
}

interface NodeState {
  own: Known | undefined;
  devices: Map<string, Known>;
  session: unknown;
  /** Number expected in the next message; undefined = unknown. */
  next: number | undefined;
  /** Whether messages were, or may have been, lost since the node's birth. */
  isUnsure: boolean;
  requestedAt: number;
}

/** Time between two requests for births to the same node, ms. */
const requestMs = 5000;
/**
 * Maximum number of metrics, nodes and devices remembered. Above it, the oldest nodes are forgotten, and asked for their births again when
 * they send data.
 */
const mostRemembered = 1_000_000;

/** Follows the births of edge nodes, and reads their messages. */
export class HostReader {
  private readonly nodes = new Map<string, NodeState>();
  private remembered = 0;
  /** Time of the last interruption, ms since 1970. */
  private interruptedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param request publishes a request for births on a topic; false = it cannot be sent at present
   * @param limit maximum number of metrics, nodes and devices remembered
   */
  constructor(
    private readonly codec: SparkplugCodec,
    private readonly request: (topic: string) => boolean,
    private readonly nowMs: () => number,
    private readonly limit = mostRemembered,
  ) {}

  /** Number of metrics, nodes and devices whose births are known. */
  get size(): number {
    return this.remembered;
  }

  /**
   * Called when the connection to the broker is lost or restored. Meanwhile, a node may begin a session whose numbers happen to continue
   * those of the last one, so each node is asked for its births again. Births that arrived before, but are read later, do not count.
   * @param at ms since 1970
   */
  interrupted(at: number): void {
    this.interruptedAt = at;
    for (const state of this.nodes.values()) state.isUnsure = true;
  }

  /** The values of a message: none for other topics and outdated deaths, several if a metric occurs repeatedly. */
  read({ topic, payload, time: arrival }: Pick<Message, 'topic' | 'payload' | 'time'>): SparkplugValue[] {
    const [space, group, type, node, device = null, ...more] = topic.split('/');
    const isKnown = space === namespace && messageTypes.some((each) => each === type);
    if (!isKnown || !group || !node || more.length > 0) return [];
    const of = type as MessageType;
    if (of.startsWith('D') !== (device !== null)) return [];
    const head = { type: of, group, node, device, online: !of.endsWith('DEATH') };
    let read: SparkplugPayload;
    try {
      read = this.codec.decode(payload);
    } catch (error) {
      const text = error instanceof AiotError ? error.message : String(error);
      const bytes = Buffer.from(payload).toString('base64');
      return [{ ...head, time: arrival, metrics: {}, error: text, payload: bytes }];
    }
    const state = this.stateOf(`${group}/${node}`);
    if (of === 'NDEATH') return this.died(head, read, state, `${group}/${node}`, arrival);
    const isBirth = of.endsWith('BIRTH');
    if (of === 'NBIRTH') {
      this.forgetNode(state);
      state.session = sessionOf(read);
      state.next = undefined;
      state.isUnsure = arrival <= this.interruptedAt;
      state.requestedAt = Number.NEGATIVE_INFINITY;
    }
    const hasGap = state.next !== undefined && read.seq !== undefined && read.seq !== state.next;
    state.next = read.seq === undefined ? undefined : (read.seq + 1) % 256;
    if (isBirth) this.born(device, read.metrics, state);
    const known = device === null ? state.own : state.devices.get(device);
    const values: SparkplugValue[] =
      of === 'DDEATH' ? [{ ...head, time: read.time ?? arrival, metrics: {} }] : [];
    if (of === 'DDEATH' && device !== null) {
      this.forget(known);
      state.devices.delete(device);
    } else values.push(...valuesIn(head, read, known, state.own, arrival));
    const isIncomplete = state.own === undefined || (of === 'DDATA' && known === undefined);
    state.isUnsure ||= hasGap;
    if (state.isUnsure || isIncomplete || values.some(({ unresolved }) => unresolved))
      this.ask(`${namespace}/${group}/NCMD/${node}`, state);
    if (hasGap && values[0]) values[0].gap = true;
    return values;
  }

  /** A death of another session is the will of a connection that has been replaced. */
  private died(
    head: Pick<SparkplugValue, 'type' | 'group' | 'node' | 'device' | 'online'>,
    read: SparkplugPayload,
    state: NodeState,
    name: string,
    arrival: number,
  ): SparkplugValue[] {
    if (state.own !== undefined && state.session !== sessionOf(read)) return [];
    this.forgetNode(state);
    this.nodes.delete(name);
    // A will was made when the node connected.
    return [{ ...head, time: arrival, metrics: {} }];
  }

  private born(device: string | null, metrics: Metric[], state: NodeState): void {
    const known: Known = { names: new Map(), types: new Map() };
    for (const { name, alias, type } of metrics) {
      if (name === undefined) continue;
      if (alias !== undefined) known.names.set(alias, name);
      known.types.set(name, type ?? 0);
    }
    this.forget(device === null ? state.own : state.devices.get(device));
    if (device === null) state.own = known;
    else state.devices.set(device, known);
    this.remembered += sizeOf(known);
    for (const [name, oldest] of this.nodes) {
      if (this.remembered <= this.limit) return;
      if (oldest === state) continue;
      this.forgetNode(oldest);
      this.nodes.delete(name);
    }
    // The node alone exceeds the limit, perhaps with invented device names.
    if (this.remembered > this.limit) this.forgetDevices(state);
  }

  /** Forgets the births of a node and its devices. */
  private forgetNode(state: NodeState): void {
    this.forget(state.own);
    state.own = undefined;
    this.forgetDevices(state);
  }

  private forgetDevices({ devices }: NodeState): void {
    for (const known of devices.values()) this.forget(known);
    devices.clear();
  }

  private forget(known: Known | undefined): void {
    if (known) this.remembered -= sizeOf(known);
  }

  private stateOf(name: string): NodeState {
    const known = this.nodes.get(name);
    if (known) return known;
    const devices = new Map<string, Known>();
    const requestedAt = Number.NEGATIVE_INFINITY;
    const state: NodeState = {
      ...{ own: undefined, devices, session: undefined },
      ...{ next: undefined, isUnsure: false, requestedAt },
    };
    // Any client can publish under invented node names, so their number is limited.
    if (this.nodes.size >= this.limit) {
      this.nodes.clear();
      this.remembered = 0;
    }
    this.nodes.set(name, state);
    return state;
  }

  private ask(topic: string, state: NodeState): void {
    const now = this.nowMs();
    if (now - state.requestedAt >= requestMs && this.request(topic)) state.requestedAt = now;
  }
}

function sizeOf({ names, types }: Known): number {
  // A name may occur with several aliases.
  return Math.max(names.size, types.size) + 1;
}

function sessionOf({ metrics }: SparkplugPayload): unknown {
  return metrics.find(({ name }) => name === 'bdSeq')?.value;
}

/** The metrics of a message, by name. A name that occurs again, as in stored data, begins another value. */
function valuesIn(
  head: Pick<SparkplugValue, 'type' | 'group' | 'node' | 'device' | 'online'>,
  { metrics, time: sent }: SparkplugPayload,
  known: Known | undefined,
  node: Known | undefined,
  arrival: number,
): SparkplugValue[] {
  const groups: Map<string, { value: unknown; time: number }>[] = [];
  const flags: boolean[] = [];
  const unresolved: Record<string, unknown> = {};
  for (const { name: given, alias, type, value: read, raw, time, historical = false } of metrics) {
    // A device's data may use aliases of its node.
    const name =
      given ?? (alias === undefined ? undefined : (known?.names.get(alias) ?? node?.names.get(alias)));
    const declared =
      type ?? (name === undefined ? undefined : known?.types.get(name) || node?.types.get(name));
    const value = type === undefined && raw ? readValue(raw, declared) : read;
    if (name === undefined) {
      unresolved[alias ?? ''] = value;
      continue;
    }
    const last = groups.at(-1);
    const fits = last !== undefined && !last.has(name) && flags.at(-1) === historical;
    const one = { value, time: time ?? sent ?? arrival };
    if (fits) last.set(name, one);
    else {
      groups.push(new Map([[name, one]]));
      flags.push(historical);
    }
  }
  if (groups.length === 0) groups.push(new Map());
  return groups.map((group, i) => {
    const times = [...group.values()].map(({ time }) => time);
    const newest = times.length === 0 ? (sent ?? arrival) : times.reduce((a, b) => Math.max(a, b));
    const other = [...group].filter(([, { time }]) => time !== newest);
    return {
      ...{ ...head, time: newest },
      metrics: Object.fromEntries([...group].map(([name, { value }]) => [name, value])),
      ...(other.length === 0
        ? {}
        : { times: Object.fromEntries(other.map(([name, { time }]) => [name, time])) }),
      ...(flags[i] ? { historical: true as const } : {}),
      ...(i === 0 && Object.keys(unresolved).length > 0 ? { unresolved } : {}),
    };
  });
}

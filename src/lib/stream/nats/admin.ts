import type { JetStreamManager, StreamConfig } from 'nats';
import { AiotError } from '../../core/errors.js';
import { untilAborted } from '../../core/tasks.js';
import { type Clock, formatDuration, systemClock } from '../../core/time.js';
import type {
  CheckResult,
  ConsumerSpec,
  CreateResult,
  LagState,
  StreamAdmin,
  TopicSpec,
  TopicState,
} from '../broker/admin.js';
import type { StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectNats, type NatsClient, natsError } from './connect.js';
import { checkFilter, matches, natsSettings } from './settings.js';
import { apiCode, consumerMissing, managerOf, streamMissing, streamsOf } from './stream.js';

/** Opens access to a NATS server's information about itself. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
export async function openNatsAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const { endpoint } = url;
  const settings = natsSettings(url, options);
  const subject = checkFilter(settings.subject, endpoint);
  const client = await connectNats(url, options, settings);
  return {
    endpoint,
    topics: (wish) => listSubjects(client, { ...wish, subject, stream: settings.stream }, endpoint),
    lag: ({ group }) => consumerLag(client, { group, stream: settings.stream }, endpoint),
    create: (spec, { dryRun }) => createStream(client, spec, dryRun, endpoint),
    check: () => checkServer(client, subject, endpoint),
    close: () => client.close(),
  };
}

interface Wish {
  subject: string;
  stream: string | undefined;
  listenMs: number;
  signal?: AbortSignal;
}

/** Lists the subjects stored by streams, and the subjects with messages within `listenMs`, with their rates. */
async function listSubjects(client: NatsClient, wish: Wish, endpoint: string): Promise<TopicState[]> {
  const heard = wish.listenMs > 0 ? listen(client, wish, endpoint) : Promise.resolve(new Map());
  // Determined concurrently, so that contents and rates describe the same period.
  const [kept, rates] = await Promise.all([keptSubjects(client, wish, endpoint), heard]);
  const rows = new Map<string, TopicState>(kept.map((row) => [row.topic, row]));
  for (const [topic, rate] of rates) {
    if (wish.stream !== undefined && !rows.has(topic)) continue;
    rows.set(topic, { ...rate, ...rows.get(topic), topic });
  }
  return [...rows.values()].sort((a, b) => a.topic.localeCompare(b.topic));
}

async function keptSubjects(client: NatsClient, wish: Wish, endpoint: string): Promise<TopicState[]> {
  const manager = await managerOf(client, endpoint);
  const rows: TopicState[] = [];
  for (const { config } of await streamsOf(client, wish.stream, endpoint)) {
    const { state } = await manager.streams
      .info(config.name, { subjects_filter: wish.subject })
      .catch((error: unknown) => {
        throw natsError(error, endpoint, `stream ${config.name}`);
      });
    const subjects = Object.entries(state.subjects ?? {});
    for (const [topic, messages] of subjects) rows.push({ topic, stream: config.name, messages });
    // If a stream contains a single subject, the stream's size and last-message time also apply to the subject.
    const only = subjects.length === 1 && state.messages === subjects[0]?.[1] ? rows.at(-1) : undefined;
    if (only) Object.assign(only, { bytes: state.bytes, last: Date.parse(state.last_ts) });
    const silent = (config.subjects ?? []).filter(
      (filter) =>
        !subjects.some(([topic]) => matches(filter, topic)) &&
        (wish.subject === '>' || matches(wish.subject, filter)),
    );
    for (const topic of silent) rows.push({ topic, stream: config.name, messages: 0 });
  }
  return rows;
}

/**
 * Measures each subject's rate while listening. The server's internal subjects and replies to requests are counted only
 * if requested.
 */
async function listen(
  client: NatsClient,
  { subject, listenMs, signal }: Wish,
  endpoint: string,
): Promise<Map<string, TopicState>> {
  const tally = createTally(systemClock);
  let refused: unknown;
  const subscription = client.nc.subscribe(subject, {
    callback(error, { subject: topic, data }) {
      if (error) refused = error;
      else if (subject !== '>' || !/^(\$|_INBOX\.)/.test(topic)) tally.count(topic, data.length);
    },
  });
  await untilAborted(systemClock.sleep(listenMs), signal);
  if (refused) throw natsError(refused, endpoint);
  subscription.unsubscribe();
  return tally.states();
}

/** Maximum number of topics counted separately; messages on all other topics are counted together. */
const mostTopics = 10_000;

/** Counts messages by topic while listening, for brokers without a list of topics. */
interface Tally {
  count(topic: string, bytes: number): void;
  /** The rate of each topic since the tally began. */
  states(): Map<string, TopicState>;
}

function createTally(clock: Clock): Tally {
  const began = clock.now();
  const seen = new Map<string, { messages: number; bytes: number; last: number }>();
  return {
    count(topic, bytes) {
      const name = seen.has(topic) || seen.size < mostTopics ? topic : 'others';
      const found = seen.get(name) ?? { messages: 0, bytes: 0, last: 0 };
      found.messages++;
      found.bytes += bytes;
      found.last = clock.now();
      seen.set(name, found);
    },
    states() {
      const seconds = Math.max(1, clock.now() - began) / 1000;
      return new Map(
        [...seen].map(([topic, { messages, bytes, last }]) => [
          topic,
          { topic, rate: messages / seconds, byteRate: bytes / seconds, last },
        ]),
      );
    },
  };
}

/** Reports how far the consumers of one stream, or of all streams, are behind. @throws AIOT_STREAM_TOPIC_NOT_FOUND */
async function consumerLag(
  client: NatsClient,
  { group, stream }: { group: string | undefined; stream: string | undefined },
  endpoint: string,
): Promise<LagState[]> {
  const manager = await managerOf(client, endpoint);
  const rows: LagState[] = [];
  for (const { config, state } of await streamsOf(client, stream, endpoint)) {
    try {
      for await (const consumer of manager.consumers.list(config.name)) {
        const { name, delivered, num_pending, num_ack_pending, num_waiting } = consumer;
        if (group !== undefined && name !== group) continue;
        const { filter_subject, filter_subjects } = consumer.config;
        const filter = filter_subjects?.join(', ') ?? filter_subject;
        rows.push({
          group: name,
          topic: filter ? `${config.name}: ${filter}` : config.name,
          position: delivered.stream_seq + 1,
          end: state.last_seq + 1,
          lag: num_pending,
          pending: num_ack_pending,
          members: num_waiting,
        });
      }
    } catch (error) {
      throw natsError(error, endpoint, `consumers of stream ${config.name}`);
    }
  }
  if (group === undefined || rows.length > 0) return rows;
  throw new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint}: consumer ${group} does not exist`, {
    endpoint,
    next: `To list all consumers, run \`aiot stream lag ${endpoint}\`.`,
  });
}

const millisecond = 1e6;

/**
 * The stream settings given in a spec. Omitted settings get the server's defaults in a new stream, and stay unchanged in an existing one.
 */
function wanted(spec: TopicSpec, endpoint: string): Partial<StreamConfig> {
  const subjects = (spec.subjects ?? [spec.name]).map((subject) => checkFilter(subject, endpoint));
  const settings = {
    name: spec.name,
    subjects,
    storage: spec.storage,
    retention: spec.retention,
    discard: spec.discard,
    num_replicas: spec.replicas,
    max_age: spec.maxAgeMs === undefined ? undefined : spec.maxAgeMs * millisecond,
    max_bytes: spec.maxBytes,
    max_msgs: spec.maxMessages,
    duplicate_window: spec.duplicateWindowMs === undefined ? undefined : spec.duplicateWindowMs * millisecond,
  };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Partial<StreamConfig>;
}

/** Creates a stream with its consumers, or updates an existing one. @throws AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
async function createStream(
  client: NatsClient,
  spec: TopicSpec,
  dryRun: boolean,
  endpoint: string,
): Promise<CreateResult> {
  refuseForeign(spec, endpoint);
  const manager = await managerOf(client, endpoint);
  const want = wanted(spec, endpoint);
  const refused = (error: unknown) => {
    throw natsError(error, endpoint, `stream ${spec.name}`);
  };
  const found = await unlessMissing(manager.streams.info(spec.name), streamMissing).catch(refused);
  const changes = found ? differences(found.config, want) : [];
  if (!dryRun && !found) await manager.streams.add(want).catch(refused);
  if (!dryRun && found && changes.length > 0) {
    await manager.streams.update(spec.name, { ...found.config, ...want }).catch(refused);
  }
  for (const consumer of spec.consumers ?? []) {
    const made = await createConsumer(
      client,
      manager,
      spec.name,
      consumer,
      dryRun,
      found !== undefined,
    ).catch(refused);
    if (made) changes.push(`consumer ${consumer.name} created`);
  }
  const did = found === undefined ? 'created' : changes.length > 0 ? 'changed' : 'unchanged';
  return { name: spec.name, did, changes };
}

/** Creates a durable consumer unless it exists. Returns whether it was created. */
async function createConsumer(
  { nats }: NatsClient,
  manager: JetStreamManager,
  stream: string,
  { name, subject, ackWaitMs, maxAckPending }: ConsumerSpec,
  dryRun: boolean,
  ask: boolean,
): Promise<boolean> {
  if (ask && (await unlessMissing(manager.consumers.info(stream, name), consumerMissing))) return false;
  if (dryRun) return true;
  await manager.consumers.add(stream, {
    durable_name: name,
    ack_policy: nats.AckPolicy.Explicit,
    deliver_policy: nats.DeliverPolicy.All,
    ...(subject === undefined ? {} : { filter_subject: subject }),
    ...(ackWaitMs === undefined ? {} : { ack_wait: ackWaitMs * millisecond }),
    ...(maxAckPending === undefined ? {} : { max_ack_pending: maxAckPending }),
  });
  return true;
}

function refuseForeign(spec: TopicSpec, endpoint: string): void {
  const foreign = (['partitions', 'config'] as const).filter((name) => spec[name] !== undefined);
  if (foreign.length === 0) return;
  throw new AiotError(
    'AIOT_STREAM_SPEC_INVALID',
    `${spec.name}: ${endpoint} is a NATS server, which does not support ${foreign.join(' and ')}`,
  );
}

async function unlessMissing<T>(asked: Promise<T>, missing: number): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (apiCode(error) === missing) return undefined;
    throw error;
  }
}

/** The differences between the current and the wanted settings, for display. */
function differences(now: StreamConfig, want: Partial<StreamConfig>): string[] {
  return (Object.keys(want) as (keyof StreamConfig)[])
    .filter((name) => JSON.stringify(now[name]) !== JSON.stringify(want[name]))
    .map((name) => `${name} ${shown(name, now[name])} → ${shown(name, want[name])}`);
}

function shown(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  const span = name === 'max_age' || name === 'duplicate_window';
  return span && typeof value === 'number' && value > 0 ? formatDuration(value / millisecond) : String(value);
}

/** How long to wait for a response, ms. */
const answerMs = 5000;

/** Checks the server's features and reports its version. Nothing is left behind. */
async function checkServer(client: NatsClient, subject: string, endpoint: string): Promise<CheckResult[]> {
  const { nc } = client;
  const info = nc.info;
  const started = systemClock.now();
  await nc.flush();
  const results: CheckResult[] = [
    {
      what: 'server',
      state: 'ok',
      detail: `NATS ${info?.version ?? '?'}, ${info?.server_name || 'no name'}`,
    },
    { what: 'round trip', state: 'ok', detail: `${systemClock.now() - started} ms` },
    encryption(info?.tls_required ?? false, info?.tls_available ?? false, endpoint),
    info?.auth_required
      ? { what: 'authentication', state: 'ok', detail: 'required; access granted' }
      : { what: 'authentication', state: 'no', detail: 'not required; anyone can connect' },
    { what: 'headers', state: info?.headers ? 'ok' : 'no', detail: info?.headers ? 'kept' : 'not supported' },
    { what: 'largest message', state: 'ok', detail: `${info?.max_payload ?? '?'} bytes` },
  ];
  results.push(await subscribes(client, subject, endpoint), await jetStream(client, endpoint));
  return results;
}

function encryption(required: boolean, available: boolean, endpoint: string): CheckResult {
  if (required || available || endpoint.startsWith('natss:')) {
    return { what: 'TLS', state: 'ok', detail: required ? 'demanded' : 'offered and used' };
  }
  return { what: 'TLS', state: 'no', detail: 'not offered: traffic can be read in transit' };
}

async function subscribes(client: NatsClient, subject: string, endpoint: string): Promise<CheckResult> {
  let refused: unknown;
  const subscription = client.nc.subscribe(subject, {
    callback(error) {
      refused ??= error ?? undefined;
    },
  });
  await client.nc.flush();
  subscription.unsubscribe();
  const what = `subscribe ${subject}`;
  if (refused) return { what, state: 'failed', detail: natsError(refused, endpoint).message };
  return { what, state: 'ok', detail: 'allowed' };
}

async function jetStream(client: NatsClient, endpoint: string): Promise<CheckResult> {
  const what = 'JetStream';
  try {
    const manager = await client.nc.jetstreamManager({ checkAPI: false, timeout: answerMs });
    const { streams, consumers, memory, storage, limits } = await manager.getAccountInfo();
    const space = limits.max_storage > 0 ? ` of ${limits.max_storage}` : '';
    const detail = `${streams} streams, ${consumers} consumers, ${storage}${space} bytes on disk, ${memory} in memory`;
    return { what, state: 'ok', detail };
  } catch (error) {
    const { message } = natsError(error, endpoint);
    return { what, state: 'no', detail: `${message}; messages are not stored` };
  }
}

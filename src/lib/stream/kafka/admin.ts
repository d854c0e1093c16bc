import { setTimeout as delay } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { AiotError } from '../../core/errors.js';
import type {
  CheckResult,
  CreateResult,
  LagState,
  StreamAdmin,
  TopicSpec,
  TopicState,
} from '../broker/admin.js';
import type { StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import type { ClusterMetadata, KafkaCluster } from './cluster.js';
import { connectCluster, kafkaClient, patiently } from './connect.js';
import { kafkaError } from './errors.js';
import { checkTopic, type KafkaSettings, kafkaSettings, topicsOf } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';
import { fetchRequest } from './wire/requests.js';

/** @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED; `check` reports the last two itself */
export async function openKafkaAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const settings = kafkaSettings(url, options);
  const named = url.path === '' ? [] : topicsOf(url);
  const { endpoint } = url;
  let opened: Promise<Admin> | undefined;
  const admin = () => {
    opened ??= openAdmin(settings, endpoint);
    return opened;
  };
  const guarded = async <T>(work: (admin: Admin) => Promise<T>): Promise<T> => {
    const connected = await admin();
    return patiently(settings, endpoint, () => work(connected));
  };
  return {
    endpoint,
    topics: ({ listenMs, signal }) =>
      guarded((admin) => topicStates(admin, settings, named, endpoint, listenMs, signal)),
    lag: ({ group }) => guarded((admin) => lags(admin, group ?? settings.group, named)),
    create: (spec, { dryRun }) => guarded((admin) => createTopic(admin, spec, dryRun, endpoint)),
    check: ({ signal }) => checkKafka({ ...settings, signal }, named, endpoint),
    async close() {
      await opened?.then((admin) => admin.disconnect()).catch(() => {});
    },
  };
}

async function openAdmin(settings: KafkaSettings, endpoint: string): Promise<Admin> {
  const admin = (await kafkaClient(settings)).admin();
  try {
    await admin.connect();
    return admin;
  } catch (error) {
    throw kafkaError(error, endpoint);
  }
}

/** Rates are computed from the end offsets of the logs before and after listening, so no records are read. */
async function topicStates(
  admin: Admin,
  settings: KafkaSettings,
  named: readonly string[],
  endpoint: string,
  listenMs: number,
  signal?: AbortSignal,
): Promise<TopicState[]> {
  // Kafka's internal topics begin with two underscores.
  const topics =
    named.length > 0 ? named : (await admin.listTopics()).filter((name) => !name.startsWith('__'));
  if (topics.length === 0) return [];
  const cluster = await connectCluster(settings, endpoint, { create: false });
  try {
    const before = await partitionRanges(cluster, topics, {}, endpoint);
    const started = Date.now();
    await delay(listenMs, undefined, { signal });
    const after = await partitionRanges(cluster, topics, {}, endpoint);
    const seconds = (Date.now() - started) / 1000;
    return topics
      .map((topic) => stateOf(topic, before, after, listenMs > 0 ? seconds : undefined))
      .sort(byName);
  } finally {
    await cluster.disconnect().catch(() => {});
  }
}

function stateOf(
  topic: string,
  before: PartitionRange[],
  after: PartitionRange[],
  seconds: number | undefined,
): TopicState {
  const own = after.filter((range) => range.topic === topic);
  const sum = (ranges: PartitionRange[], figure: (range: PartitionRange) => number) =>
    ranges.filter((range) => range.topic === topic).reduce((total, range) => total + figure(range), 0);
  const came = sum(after, ({ end }) => end) - sum(before, ({ end }) => end);
  return {
    topic,
    partitions: own.length,
    messages: sum(own, ({ begin, end }) => end - begin),
    ...(seconds === undefined ? {} : { rate: came / seconds }),
  };
}

function byName(a: { topic: string }, b: { topic: string }): number {
  return a.topic < b.topic ? -1 : 1;
}

/** Lag of all groups, or of one group, on the named topics (default: all). */
async function lags(admin: Admin, only: string | undefined, named: readonly string[]): Promise<LagState[]> {
  const { groups } = await admin.listGroups();
  const ids = only === undefined ? groups.map(({ groupId }) => groupId).sort() : [only];
  const members = new Map<string, number>();
  if (ids.length > 0) {
    const described = await admin.describeGroups(ids);
    for (const group of described.groups) members.set(group.groupId, group.members.length);
  }
  const ends = new Map<string, Map<number, number>>();
  const states: LagState[] = [];
  for (const group of ids) {
    const committed = await admin.fetchOffsets({ groupId: group });
    for (const { topic, partitions } of committed) {
      if (named.length > 0 && !named.includes(topic)) continue;
      if (!ends.has(topic)) ends.set(topic, await endsOf(admin, topic));
      for (const { partition, offset } of partitions.sort((a, b) => a.partition - b.partition)) {
        const [position, end] = [Number(offset), ends.get(topic)?.get(partition) ?? 0];
        if (position < 0) continue;
        const lag = Math.max(0, end - position);
        states.push({ group, topic, partition, position, end, lag, members: members.get(group) ?? 0 });
      }
    }
  }
  return states;
}

async function endsOf(admin: Admin, topic: string): Promise<Map<number, number>> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]));
}

/**
 * Kafka's numbers for ConfigResourceTypes.TOPIC and for ConfigSource.TOPIC_CONFIG, which marks the topic's own setting.
 */
const topicResource = 2;

const setForTopic = 1;

/**
 * Creates a topic, or changes an existing one: adds partitions and changes settings. Settings that are not in the file stay unchanged.
 * @throws AIOT_USAGE (fewer partitions, or another number of replicas, which Kafka cannot do), AIOT_STREAM_URL (the name)
 */
async function createTopic(
  admin: Admin,
  spec: TopicSpec,
  dryRun: boolean,
  endpoint: string,
): Promise<CreateResult> {
  checkTopic(spec.name, endpoint);
  const wanted = configOf(spec);
  const existing = (await admin.listTopics()).includes(spec.name);
  return existing ? change(admin, spec, wanted, dryRun) : make(admin, spec, wanted, dryRun);
}

async function make(
  admin: Admin,
  spec: TopicSpec,
  wanted: Map<string, string>,
  dryRun: boolean,
): Promise<CreateResult> {
  const configEntries = [...wanted].map(([name, value]) => ({ name, value }));
  const topic = {
    topic: spec.name,
    // −1 is the broker's own default.
    numPartitions: spec.partitions ?? -1,
    replicationFactor: spec.replicas ?? -1,
    configEntries,
  };
  await admin.createTopics({ validateOnly: dryRun, waitForLeaders: !dryRun, topics: [topic] });
  const changes = [...wanted].map(([name, value]) => `${name} = ${value}`);
  if (spec.partitions !== undefined) changes.unshift(`partitions = ${spec.partitions}`);
  return { name: spec.name, did: 'created', changes };
}

async function change(
  admin: Admin,
  spec: TopicSpec,
  wanted: Map<string, string>,
  dryRun: boolean,
): Promise<CreateResult> {
  const changes: string[] = [];
  const partitions = await morePartitions(admin, spec);
  if (partitions !== undefined) changes.push(`partitions ${partitions} → ${spec.partitions}`);
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: topicResource, name: spec.name }],
  });
  const entries = resources[0]?.configEntries ?? [];
  const now = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
  for (const [name, value] of wanted) {
    if (now.get(name) !== value) changes.push(`${name} ${now.get(name) ?? '(none)'} → ${value}`);
  }
  if (changes.length === 0) return { name: spec.name, did: 'unchanged', changes };
  if (dryRun) return { name: spec.name, did: 'changed', changes };
  if (partitions !== undefined) {
    await admin.createPartitions({ topicPartitions: [{ topic: spec.name, count: spec.partitions! }] });
  }
  if (wanted.size > 0) {
    // This request replaces all settings of a topic, and an omitted setting returns to its default. The topic's current
    // settings are therefore sent too.
    const own = entries.filter(({ configSource }) => (configSource as number) === setForTopic);
    const all = new Map([
      ...own.map(({ configName, configValue }) => [configName, configValue] as const),
      ...wanted,
    ]);
    const configEntries = [...all].map(([name, value]) => ({ name, value }));
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: topicResource, name: spec.name, configEntries }],
    });
  }
  return { name: spec.name, did: 'changed', changes };
}

/**
 * The current number of partitions if the spec asks for more; undefined otherwise.
 * @throws AIOT_USAGE for fewer partitions, or another number of replicas
 */
async function morePartitions(admin: Admin, spec: TopicSpec): Promise<number | undefined> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [spec.name] });
  const there = topics[0]?.partitions ?? [];
  const replicas = there[0]?.replicas.length;
  if (spec.replicas !== undefined && replicas !== undefined && spec.replicas !== replicas) {
    throw new AiotError(
      'AIOT_USAGE',
      `${spec.name}: the number of replicas cannot change from ${replicas} to ${spec.replicas}`,
      {
        next: "Use Kafka's kafka-reassign-partitions to move replicas.",
      },
    );
  }
  if (spec.partitions === undefined || spec.partitions === there.length) return undefined;
  if (spec.partitions > there.length) return there.length;
  throw new AiotError(
    'AIOT_USAGE',
    `${spec.name}: expected at least the current ${there.length} partitions, got ${spec.partitions}`,
    { next: 'Kafka cannot remove partitions: create another topic.' },
  );
}

/**
 * A topic's settings by their Kafka names. Settings in `config` take precedence over `maxAgeMs` and `maxBytes`.
 * @throws AIOT_USAGE for JetStream's settings
 */
function configOf(spec: TopicSpec): Map<string, string> {
  for (const name of ['subjects', 'storage', 'retention', 'maxMessages', 'duplicateWindowMs'] as const) {
    if (spec[name] !== undefined) {
      throw new AiotError(
        'AIOT_USAGE',
        `${spec.name}: ${name} is a JetStream setting that Kafka does not have`,
      );
    }
  }
  const config = new Map<string, string>();
  if (spec.maxAgeMs !== undefined) config.set('retention.ms', String(spec.maxAgeMs));
  if (spec.maxBytes !== undefined) config.set('retention.bytes', String(spec.maxBytes));
  for (const [name, value] of Object.entries(spec.config ?? {})) config.set(name, value);
  return config;
}

/**
 * API versions that reveal a broker's release: the API's key in ApiVersions, its highest version, and the oldest release with that
 * version.
 */
const versionSigns: [key: number, version: number, says: string][] = [
  [0, 12, '4.0'],
  [1, 17, '3.9'],
  [1, 16, '3.7'],
  [1, 13, '3.1'],
  [1, 10, '2.1'],
];

/** Tests the connection, and then our permissions. Nothing is written. */
async function checkKafka(
  settings: KafkaSettings,
  topics: readonly string[],
  endpoint: string,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  let cluster: KafkaCluster;
  try {
    cluster = await connectCluster(settings, endpoint, { create: false });
  } catch (error) {
    const known = kafkaError(error, endpoint);
    results.push({ what: 'connects', state: 'failed', detail: `${known.message}. ${known.next}` });
    return results;
  }
  try {
    results.push({ what: 'connects', state: 'ok', detail: security(settings) });
    const metadata = await patiently(settings, endpoint, () => cluster.metadata({ topics: [...topics] }));
    results.push(await brokers(cluster, metadata));
    for (const topic of topics) results.push(await readable(cluster, topic, settings, endpoint));
    results.push(
      await tried('idempotent producer', async () => {
        const node = await cluster.findControllerBroker();
        await node.initProducerId({ transactionTimeout: 1000 });
        return 'a bridge can write each message exactly once, even if responses are lost';
      }),
    );
    results.push(
      await tried('groups', async () => {
        const groupId = settings.group ?? 'aiot-check';
        const node = await patiently(settings, endpoint, () => cluster.findGroupCoordinator({ groupId }));
        return `broker ${node.nodeId} coordinates ${groupId}`;
      }),
    );
  } finally {
    await cluster.disconnect().catch(() => {});
  }
  return results;
}

function security({ tls, username, sasl = 'plain' }: KafkaSettings): string {
  const line = tls ? 'TLS' : 'not encrypted';
  return username === undefined ? `${line}, without credentials` : `${line}, as ${username} by SASL ${sasl}`;
}

async function brokers(
  cluster: KafkaCluster,
  { brokers, controllerId }: ClusterMetadata,
): Promise<CheckResult> {
  return tried('brokers', async () => {
    await cluster.refreshMetadata();
    const node = await cluster.findBroker({ nodeId: brokers[0]?.nodeId ?? controllerId });
    const sign = versionSigns.find(([key, version]) => (node.versions[key]?.maxVersion ?? 0) >= version);
    const names = brokers.map(({ host, port }) => `${host}:${port}`).join(', ');
    return `${brokers.length} (${names}), Kafka ${sign ? `${sign[2]} or newer` : 'older than 2.1, which is not supported'}`;
  });
}

async function readable(
  cluster: KafkaCluster,
  topic: string,
  settings: KafkaSettings,
  endpoint: string,
): Promise<CheckResult> {
  return tried(
    `topic ${topic}`,
    async () => {
      const ranges = await partitionRanges(cluster, [topic], { from: 'beginning' }, endpoint);
      const messages = ranges.reduce((sum, { begin, end }) => sum + end - begin, 0);
      const [first] = ranges;
      const leader = cluster
        .findTopicPartitionMetadata(topic)
        .find(({ partitionId }) => partitionId === first?.partition);
      if (first && leader) {
        const node = await cluster.findBroker({ nodeId: leader.leader });
        const limits = { maxWaitMs: 100, maxBytes: 1000, maxPartitionBytes: 1000 };
        const place = { topic, partition: first.partition, offset: first.start };
        const [answer] = await node.connectionPool.send(fetchRequest([place], limits));
        if (answer && answer.errorCode !== 0)
          throw new Error(`reading fails with Kafka error ${answer.errorCode}`);
      }
      const replicas = leader ? leader.replicas.length : 0;
      const parts = ranges.length === 1 ? '1 partition' : `${ranges.length} partitions`;
      return `can be read: ${parts}, ${replicas} replica${replicas === 1 ? '' : 's'}, ${messages} messages`;
    },
    settings.signal,
  );
}

async function tried(what: string, work: () => Promise<string>, signal?: AbortSignal): Promise<CheckResult> {
  try {
    return { what, state: 'ok', detail: await work() };
  } catch (error) {
    signal?.throwIfAborted();
    return { what, state: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }
}

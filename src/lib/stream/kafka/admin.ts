import { setTimeout as delay } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import type { LagState, StreamAdmin, TopicState } from '../admin.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { checkKafka } from './check.js';
import { connectCluster, kafkaClient, patiently } from './connect.js';
import { createTopic } from './create.js';
import { kafkaError } from './errors.js';
import { type KafkaSettings, kafkaSettings, topicsOf } from './settings.js';
import { type PartitionRange, partitionRanges } from './start.js';

/** @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED; `check` tells of the last two itself */
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

/** Rates are of the records that came while it was listened: from the ends of the logs, so nothing is read. */
async function topicStates(
  admin: Admin,
  settings: KafkaSettings,
  named: readonly string[],
  endpoint: string,
  listenMs: number,
  signal?: AbortSignal,
): Promise<TopicState[]> {
  // Kafka's own begin with two underscores.
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

/** Of every group, or of one, for the topics named (all without). */
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

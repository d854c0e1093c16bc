import type { Admin } from 'kafkajs';
import { AiotError } from '../../core/index.js';
import type { CreateResult, TopicSpec } from '../admin.js';
import { checkTopic } from './settings.js';

/** Kafka's ConfigResourceTypes.TOPIC, and ConfigSource.TOPIC_CONFIG: what was set for this very topic. */
const topicResource = 2;
const setForTopic = 1;

/**
 * Makes a topic, or changes what may be changed of it: more partitions, and its settings. Those that the file does not name stay.
 * @throws AIOT_USAGE (fewer partitions, another number of replicas: Kafka cannot), AIOT_STREAM_URL (the name)
 */
export async function createTopic(
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
    // This request takes all settings of a topic at once: one that is left out goes back to its default.
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

/** How many there are, when there are to be more. */
async function morePartitions(admin: Admin, spec: TopicSpec): Promise<number | undefined> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [spec.name] });
  const there = topics[0]?.partitions ?? [];
  const replicas = there[0]?.replicas.length;
  if (spec.replicas !== undefined && replicas !== undefined && spec.replicas !== replicas) {
    throw new AiotError(
      'AIOT_USAGE',
      `${spec.name}: expected replicas to stay ${replicas}, got ${spec.replicas}`,
      {
        next: 'Moving replicas is the work of Kafka’s own kafka-reassign-partitions.',
      },
    );
  }
  if (spec.partitions === undefined || spec.partitions === there.length) return undefined;
  if (spec.partitions > there.length) return there.length;
  throw new AiotError(
    'AIOT_USAGE',
    `${spec.name}: expected at least the ${there.length} partitions that there are, got ${spec.partitions}`,
    { next: 'Kafka cannot take partitions away: make another topic.' },
  );
}

/** Settings as Kafka calls them. What the file says by Kafka's own name goes first. @throws AIOT_USAGE for those of JetStream */
function configOf(spec: TopicSpec): Map<string, string> {
  for (const name of ['subjects', 'storage', 'retention', 'maxMessages', 'duplicateWindowMs'] as const) {
    if (spec[name] !== undefined) {
      throw new AiotError(
        'AIOT_USAGE',
        `${spec.name}: ${name} is a setting of JetStream streams, Kafka has none such`,
      );
    }
  }
  const config = new Map<string, string>();
  if (spec.maxAgeMs !== undefined) config.set('retention.ms', String(spec.maxAgeMs));
  if (spec.maxBytes !== undefined) config.set('retention.bytes', String(spec.maxBytes));
  for (const [name, value] of Object.entries(spec.config ?? {})) config.set(name, value);
  return config;
}

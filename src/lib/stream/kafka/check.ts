import type { CheckResult } from '../admin.js';
import type { ClusterMetadata, KafkaCluster } from './cluster.js';
import { connectCluster, patiently } from './connect.js';
import { kafkaError } from './errors.js';
import type { KafkaSettings } from './settings.js';
import { partitionRanges } from './start.js';
import { fetchRequest } from './wire/fetch.js';

/** Highest version of an API that tells brokers apart: by the key of ApiVersions, what a broker that has it is at least. */
const versionSigns: [key: number, version: number, says: string][] = [
  [0, 12, '4.0'],
  [1, 17, '3.9'],
  [1, 16, '3.7'],
  [1, 13, '3.1'],
  [1, 10, '2.1'],
];

/** What a cluster lets us do, tried in turn. Nothing is written. */
export async function checkKafka(
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
        return 'a bridge can write each message once though answers are lost';
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
    return `${brokers.length} (${names}), Kafka ${sign ? `${sign[2]} or newer` : 'older than 2.1, which is too old'}`;
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
          throw new Error(`reading it fails with Kafka's error ${answer.errorCode}`);
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

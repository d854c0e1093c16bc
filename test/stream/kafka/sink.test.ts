import { expect, it, vi } from 'vitest';
import { openKafkaSink } from '../../../src/lib/stream/kafka/sink.js';
import { parseStreamUrl } from '../../../src/lib/stream/url.js';
import { fakeKafka } from '../../support/fake-kafka.js';

const asked: string[][] = [];
const kafka = fakeKafka([1]);
vi.mock('../../../src/lib/stream/kafka/connect.js', () => ({ connectCluster: async () => kafka.cluster }));
vi.mock('../../../src/lib/stream/kafka/source.js', () => ({
  recentMessages(topics: string[]) {
    asked.push(topics);
    return [];
  },
}));

it('a Kafka sink looks for recent messages in every existing topic that it has written to', async () => {
  const { findTopicPartitionMetadata: find } = kafka.cluster;
  kafka.cluster.findTopicPartitionMetadata = (topic) => (topic === 'no.such' ? [] : find(topic));
  const sink = await openKafkaSink(parseStreamUrl('kafka://fake/own'), {});
  const recent = async () => {
    for await (const _ of sink.recent!(0)) expect.unreachable();
    return asked.pop();
  };
  expect(await recent()).toEqual(['own']);
  const message = (topic: string) => ({ topic, payload: Buffer.from('1') });
  await sink.write([message(''), message('rooms/1'), message('rooms/2')]);
  await expect(sink.write([message('no/such')])).rejects.toMatchObject({
    code: 'AIOT_STREAM_TOPIC_NOT_FOUND',
  });
  expect(await recent()).toEqual(['own', 'rooms.1', 'rooms.2']);
  await sink.close();
});

import type { Sink } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { connectCluster } from './connect.js';
import { KafkaProducer } from './producer.js';
import { recentMessages } from './recent.js';
import { checkTopic, kafkaSettings, topicsOf } from './settings.js';

/**
 * `kafka://HOST[:PORT][,…]/[TOPIC]`: a write resolves when every in-sync replica has it (acks=all). A message's own topic goes
 * first; MQTT's `a/b` is `a.b` in Kafka, whose names have no slash.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED; a write also AIOT_STREAM_MESSAGE_REFUSED
 */
export async function openKafkaSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = kafkaSettings(url, options);
  const [urlTopic = ''] = url.path === '' ? [] : topicsOf(url);
  const { endpoint } = url;
  const cluster = await connectCluster(settings, endpoint, { create: settings.create ?? true });
  const producer = new KafkaProducer(cluster, settings, endpoint);
  // Other topics than the URL's are known from the first message for them on.
  const topics = new Set(urlTopic === '' ? [] : [urlTopic]);
  return {
    endpoint,
    async write(messages) {
      const addressed = messages.map((message) => {
        const topic = message.topic === '' ? urlTopic : message.topic.replaceAll('/', '.');
        checkTopic(topic, endpoint);
        topics.add(topic);
        return topic === message.topic ? message : { ...message, topic };
      });
      await producer.write(addressed);
    },
    recent(since) {
      // One that could not be made has nothing, and must not keep the others from being read.
      const isThere = (topic: string) =>
        topic === urlTopic || cluster.findTopicPartitionMetadata(topic).length > 0;
      return recentMessages([...topics].filter(isThere), settings, since, endpoint);
    },
    close: () => producer.close(),
  };
}

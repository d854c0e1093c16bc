import type { Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { openKafkaReader } from './reader.js';
import { kafkaSettings, topicsOf } from './settings.js';

/**
 * `kafka://HOST[:PORT][,…]/TOPIC[,…]`. With `group` its members share the partitions, and the broker remembers what was acked;
 * without one the log is read from a place on, and nothing is left behind.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_TOPIC_NOT_FOUND
 */
export async function openKafkaSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = kafkaSettings(url, options);
  const topics = topicsOf(url);
  if (settings.group === undefined) return openKafkaReader(topics, settings, url.endpoint);
  return (await import('./group.js')).openKafkaGroup(topics, settings, url.endpoint);
}

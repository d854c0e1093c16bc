import type { StreamInfo } from 'nats';
import type { NatsClient } from '../connect.js';
import { natsError } from '../errors.js';
import { apiCode, findStream, hasJetStream, managerOf } from '../stream.js';

/** JetStream says so where an account may not use it. */
const notEnabled = new Set([503, 10_039, 10_076]);

/** All streams, or the one named; none where the server has no JetStream. @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_* */
export async function streamsOf(
  client: NatsClient,
  name: string | undefined,
  endpoint: string,
): Promise<StreamInfo[]> {
  const manager = await managerOf(client, endpoint);
  if (name !== undefined) return [await findStream(manager, { stream: name, subject: '' }, endpoint)];
  const streams: StreamInfo[] = [];
  try {
    for await (const stream of manager.streams.list()) streams.push(stream);
  } catch (error) {
    const silent = !hasJetStream(client) && (error as { code?: string }).code === 'TIMEOUT';
    if (!silent && !notEnabled.has(apiCode(error) ?? 0))
      throw natsError(error, endpoint, 'listing its streams');
  }
  return streams.sort((a, b) => a.config.name.localeCompare(b.config.name));
}

import { AiotError } from '../../../core/index.js';
import type { LagState } from '../../admin.js';
import type { NatsClient } from '../connect.js';
import { natsError } from '../errors.js';
import { managerOf } from '../stream.js';
import { streamsOf } from './streams.js';

/** How far each consumer is behind its stream, of one stream or of all. @throws AIOT_STREAM_TOPIC_NOT_FOUND */
export async function consumerLag(
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
  throw new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint}: there is no consumer ${group}`, {
    endpoint,
    next: `aiot stream lag ${endpoint} lists all of them`,
  });
}

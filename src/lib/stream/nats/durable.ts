import type { ConsumerConfig, ConsumerInfo, JetStreamManager, StreamInfo } from 'nats';
import { AiotError } from '../../core/index.js';
import type { StreamOptions } from '../options.js';
import type { NatsClient } from './connect.js';
import { natsError } from './errors.js';
import { startOf } from './start.js';
import { apiCode, consumerMissing } from './stream.js';

/** A message that nobody acknowledged comes again after this time, ms; while we hold one we say so. */
const ackWaitMs = 30_000;

export interface DurableWish {
  durable: string;
  subject: string;
  from: StreamOptions['from'];
  /** Most messages out without an acknowledgement, of a consumer that we make. */
  unacked: number;
}

/**
 * The durable consumer of that name as it stands, or a new one: from the beginning of the stream, unless `from` says otherwise.
 * @throws AIOT_STREAM_URL (there is one that does something else), AIOT_BROKER_REFUSED
 */
export async function durableConsumer(
  client: NatsClient,
  manager: JetStreamManager,
  stream: StreamInfo,
  wish: DurableWish,
  endpoint: string,
): Promise<ConsumerInfo> {
  const { name } = stream.config;
  try {
    return checked(await manager.consumers.info(name, wish.durable), wish, endpoint);
  } catch (error) {
    if (apiCode(error) !== consumerMissing) throw natsError(error, endpoint, `consumer ${wish.durable}`);
  }
  const { AckPolicy, ReplayPolicy, nanos } = client.nats;
  const config = {
    durable_name: wish.durable,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: wish.unacked,
    replay_policy: ReplayPolicy.Instant,
    ...startOf(wish.from ?? 'beginning', stream.state.last_seq),
    ...(wish.subject === '>' ? {} : { filter_subject: wish.subject }),
  } satisfies Partial<ConsumerConfig>;
  try {
    return await manager.consumers.add(name, config);
  } catch (error) {
    throw natsError(error, endpoint, `consumer ${wish.durable} of stream ${name}`);
  }
}

function checked(consumer: ConsumerInfo, wish: DurableWish, endpoint: string): ConsumerInfo {
  const { ack_policy, deliver_subject, filter_subject = '>', filter_subjects } = consumer.config;
  const refuse = (why: string) =>
    new AiotError('AIOT_STREAM_URL', `${endpoint}: the consumer ${wish.durable} ${why}`, {
      endpoint,
      next: 'Choose another name for --durable.',
    });
  if (deliver_subject) throw refuse('is one that the server pushes to; expected one that is asked');
  if (ack_policy !== 'explicit') throw refuse(`acknowledges ${ack_policy}; expected explicit`);
  const filters = filter_subjects ?? [filter_subject];
  if (wish.subject !== '>' && !(filters.length === 1 && filters[0] === wish.subject)) {
    throw refuse(`reads ${filters.join(', ')}; expected ${wish.subject}`);
  }
  return consumer;
}

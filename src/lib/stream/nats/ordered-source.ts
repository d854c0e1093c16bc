import type { ConsumerConfig, JetStreamManager, Msg, StreamInfo } from 'nats';
import { systemClock } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { NatsClient } from './connect.js';
import { natsError } from './errors.js';
import { type PullHandlers, startPull } from './pull.js';
import { atSequence, startOf } from './start.js';
import { createStock } from './stock.js';
import { apiCode } from './stream.js';
import { deliveryInfo, messageOf } from './stream-message.js';
import { within } from './within.js';

/** The server forgets our consumer after this time without a request of ours, ms. */
const inactiveMs = 30_000;
/** How long it may be impossible to get a consumer back before that ends the source, ms. */
const patienceMs = 60_000;
const settle = () => {};

interface OrderedWish {
  subject: string;
  from: StreamOptions['from'];
  /** Ends at what is the end now. */
  untilEnd?: boolean;
  /** Messages on their way. */
  window?: number | undefined;
}

/**
 * Reads a stream in its order, every message once, leaving no trace in it: a consumer of our own without acknowledgements, which
 * is made anew where it is lost, after the last message that came. @throws AIOT_BROKER_REFUSED, AIOT_BROKER_UNREACHABLE
 */
export async function openOrderedSource(
  client: NatsClient,
  manager: JetStreamManager,
  stream: StreamInfo,
  { subject, from, untilEnd = false, window = 2000 }: OrderedWish,
  options: StreamOptions,
  endpoint: string,
): Promise<Source> {
  const { name } = stream.config;
  const stock = createStock(options.queue ?? 10_000);
  let last: number | undefined;
  let expected = 1;
  let closed = false;
  /** Messages to come, where there is an end. */
  let left: number | undefined;
  const first = startOf(from, stream.state.last_seq);
  const makeConsumer = async (): Promise<string> => {
    const config = {
      name: `aiot-${client.nats.nuid.next()}`,
      ack_policy: client.nats.AckPolicy.None,
      replay_policy: client.nats.ReplayPolicy.Instant,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: client.nats.nanos(inactiveMs),
      ...(last === undefined ? first : atSequence(last + 1)),
      ...(subject === '>' ? {} : { filter_subject: subject }),
    } satisfies Partial<ConsumerConfig>;
    const made = await manager.consumers.add(name, config);
    expected = 1;
    if (untilEnd) left ??= made.num_pending;
    return made.name;
  };
  let consumer = await makeConsumer().catch((error: unknown) => {
    throw natsError(error, endpoint, `stream ${name}`);
  });
  const forget = (which: string) => manager.consumers.delete(name, which).catch(() => {});

  const handlers: PullHandlers = {
    room: stock.room,
    message(msg: Msg) {
      const info = deliveryInfo(msg.reply ?? '');
      // One is missing: it was lost on the way, and nothing else tells us.
      if (info.delivery !== expected) return pull.renew('gap');
      expected++;
      last = info.sequence;
      const delivery: Delivery = { message: messageOf(msg, info, endpoint), ack: settle, nack: settle };
      if (left === 0) return;
      stock.add(delivery, msg.data.length);
      if (left !== undefined && --left === 0) stock.end();
    },
    async renew() {
      const old = consumer;
      consumer = await persistently(makeConsumer, () => closed, endpoint, name);
      void forget(old);
      return consumer;
    },
    end: (error) => stock.end(error),
  };
  if (left === 0) stock.end();
  const pull = startPull(client, name, consumer, window, handlers);
  return {
    endpoint,
    dropped: 0,
    [Symbol.asyncIterator]: () => stock.batches(pull.more),
    async close() {
      closed = true;
      await pull.stop();
      stock.end();
      if (!client.nc.isClosed()) await within(2000, forget(consumer));
      await client.close();
    },
  };
}

/** A server that has just come back may not know its streams yet, and a cluster may be without a leader. */
async function persistently(
  make: () => Promise<string>,
  given: () => boolean,
  endpoint: string,
  stream: string,
): Promise<string> {
  const deadline = systemClock.now() + patienceMs;
  for (;;) {
    try {
      return await make();
    } catch (error) {
      const worthless =
        apiCode(error) !== undefined && apiCode(error) !== 503 && systemClock.now() > deadline;
      if (given() || worthless) throw natsError(error, endpoint, `stream ${stream}`);
    }
    await systemClock.sleep(500);
  }
}

import type { ConsumerConfig, ConsumerInfo, DeliverPolicy, JetStreamManager, Msg, StreamInfo } from 'nats';
import { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { Delivery, Source, StreamOptions } from '../message.js';
import { createQueue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { connectNats, type NatsClient, natsError, within } from './connect.js';
import { deliveryInfo, headersFrom, messageOf } from './messages.js';
import { createStock, type PullHandlers, startPull } from './pull.js';
import { checkFilter, type NatsSettings, natsSettings } from './settings.js';
import { apiCode, consumerMissing, findStream, managerOf } from './stream.js';

/**
 * Opens `nats://HOST/SUBJECT`. Delivers messages published from now on (core NATS) or, if a stream, a durable consumer or a start
 * position is given, messages stored by a JetStream stream.
 * @throws AIOT_STREAM_URL, AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openNatsSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = natsSettings(url, options);
  const subject = checkFilter(settings.subject, url.endpoint);
  const client = await connectNats(url, options, settings);
  try {
    return kept(settings)
      ? await openStream(client, { ...settings, subject }, options, url.endpoint)
      : await openCoreSource(client, { ...settings, subject }, options, url.endpoint);
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Whether reading needs a stream. Messages published from now on need no stream. */
function kept({ stream, durable, from, kept }: NatsSettings): boolean {
  const elsewhere = from !== undefined && from !== 'latest';
  return stream !== undefined || durable !== undefined || elsewhere || kept === true;
}

async function openStream(
  client: NatsClient,
  settings: NatsSettings,
  options: StreamOptions,
  endpoint: string,
): Promise<Source> {
  const manager = await managerOf(client, endpoint);
  const stream = await findStream(manager, settings, endpoint);
  const durable = settings.durable ?? settings.group;
  if (durable !== undefined) {
    const unacked = settings.window ?? Math.max(options.queue ?? 10_000, 1000);
    const { subject, from, ackWait = ackWaitMs } = settings;
    const wish = { durable, subject, from, unacked, ackWait };
    const consumer = await durableConsumer(client, manager, stream, wish, endpoint);
    return openDurableSource(client, manager, consumer, settings, options, endpoint);
  }
  if (stream.config.retention === 'workqueue') {
    const { name } = stream.config;
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${endpoint}: ${name} is a work queue, so reading removes messages: expected a durable consumer name`,
      {
        next: 'To take messages, add --durable NAME. To only watch new messages, omit --jetstream.',
      },
    );
  }
  return openOrderedSource(client, manager, stream, settings, options, endpoint);
}

const ignore = () => {};

/**
 * Delivers messages published from now on, at most once, because core NATS stores nothing and does not wait for its readers. There is
 * nothing to acknowledge. With `overflow: 'wait'` a full queue ends the source with AIOT_STREAM_OVERFLOW instead of losing messages
 * silently.
 * @throws AIOT_BROKER_REFUSED
 */
async function openCoreSource(
  client: NatsClient,
  { subject, group }: { subject: string; group: string | undefined },
  options: StreamOptions,
  endpoint: string,
): Promise<Source> {
  const queue = createQueue<Delivery>(options.queue ?? 10_000);
  const keepAll = options.overflow === 'wait';
  let dropped = 0;
  let closed = false;
  let refused: AiotError | undefined;
  const subscription = client.nc.subscribe(subject, {
    ...(group === undefined ? {} : { queue: group }),
    callback(error, { subject: topic, data, headers }) {
      if (error) {
        refused = natsError(error, endpoint);
        queue.end(refused);
        return;
      }
      const found = headersFrom(headers);
      const message = { topic, payload: data, time: Date.now(), source: endpoint };
      const delivery = {
        message: found ? { ...message, headers: found } : message,
        ack: ignore,
        nack: ignore,
      };
      if (queue.push(delivery, data.length) || closed) return;
      dropped++;
      if (keepAll) queue.end(overflow(endpoint));
    },
  });
  client.onEnd((error) => queue.end(error));
  // The server responds to a flush after the subscription, so a rejection has been reported by then.
  await client.nc.flush();
  if (refused) throw refused;
  return {
    endpoint,
    get dropped() {
      return dropped;
    },
    [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
    async close() {
      closed = true;
      if (!client.nc.isClosed()) subscription.unsubscribe();
      queue.end();
      await client.close();
    },
  };
}

function overflow(endpoint: string): AiotError {
  return new AiotError(
    'AIOT_STREAM_OVERFLOW',
    `${endpoint}: messages arrive faster than they are processed`,
    {
      endpoint,
      retryable: true,
      next: 'Core NATS does not store messages for slow readers. Use a stream: --jetstream STREAM --durable NAME',
    },
  );
}

/**
 * Time after which the server redelivers an unacknowledged message, ms. While we hold a message, we extend this time by
 * reporting progress.
 */
const ackWaitMs = 30_000;

interface DurableWish {
  durable: string;
  subject: string;
  from: StreamOptions['from'];
  /** Maximum number of unacknowledged messages of a consumer that we create. */
  unacked: number;
  /** Acknowledgment timeout of a consumer that we create, ms. */
  ackWait: number;
}

/**
 * Finds the durable consumer with this name, or creates it. A new consumer starts at the beginning of the stream unless
 * `from` is given.
 * @throws AIOT_STREAM_URL (an existing consumer has another purpose), AIOT_BROKER_REFUSED
 */
async function durableConsumer(
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
    ack_wait: nanos(wish.ackWait),
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
  if (deliver_subject) throw refuse('is a push consumer; expected a pull consumer');
  if (ack_policy !== 'explicit') throw refuse(`acknowledges ${ack_policy}; expected explicit`);
  const filters = filter_subjects ?? [filter_subject];
  if (wish.subject !== '>' && !(filters.length === 1 && filters[0] === wish.subject)) {
    throw refuse(`reads ${filters.join(', ')}; expected ${wish.subject}`);
  }
  return consumer;
}

/** Responses to a delivery (ADR-13 of NATS). */
const answers = {
  ack: Buffer.from('+ACK'),
  working: Buffer.from('+WPI'),
  /** Requests redelivery after one second, which gives a failed reader time to recover. */
  later: Buffer.from('-NAK {"delay": 1000000000}'),
  now: Buffer.from('-NAK'),
};

/** A delivery that has not been answered yet. */
interface Open {
  reply: string;
  since: number;
}

/**
 * Reads with a durable consumer: each message is acknowledged when its delivery is acked, and redelivered otherwise.
 * Progress is reported for messages that are held longer than the server's acknowledgment timeout, so that a long
 * outage at the destination causes no duplicates. A duplicate that arrives while we hold the first copy is discarded.
 */
async function openDurableSource(
  client: NatsClient,
  manager: JetStreamManager,
  consumer: ConsumerInfo,
  { window = 2000 }: { window?: number | undefined },
  options: StreamOptions,
  endpoint: string,
): Promise<Source> {
  const { nc } = client;
  const { stream_name: stream, name } = consumer;
  const stock = createStock(options.queue ?? 10_000);
  const open = new Map<number, Open>();
  let closed = false;
  const answer = (reply: string, body: Uint8Array) => {
    if (!nc.isClosed()) nc.publish(reply, body);
  };
  const settle = (sequence: number, body: Uint8Array) => {
    const held = open.get(sequence);
    if (closed || held === undefined) return;
    open.delete(sequence);
    answer(held.reply, body);
  };
  const found = () => manager.consumers.info(stream, name).then(() => name);
  const handlers: PullHandlers = {
    room: stock.room,
    message(msg: Msg) {
      const reply = msg.reply ?? '';
      const info = deliveryInfo(reply);
      const held = open.get(info.sequence);
      if (held) {
        held.reply = reply;
        return;
      }
      open.set(info.sequence, { reply, since: systemClock.now() });
      const delivery: Delivery = {
        message: messageOf(msg, info, endpoint),
        ack: () => settle(info.sequence, answers.ack),
        nack: () => settle(info.sequence, answers.later),
      };
      stock.add(delivery, msg.data.length);
    },
    late(msg) {
      const reply = msg.reply ?? '';
      open.set(deliveryInfo(reply).sequence, { reply, since: systemClock.now() });
    },
    renew: () => persistently(found, () => closed, endpoint, `consumer ${name} of stream ${stream}`),
    end: (error) => stock.end(error),
  };
  const pull = startPull(client, stream, name, window, handlers);
  const patience = Math.max(100, (consumer.config.ack_wait ?? 30e9) / 1e6 / 3);
  const working = setInterval(() => {
    const before = systemClock.now() - patience / 2;
    for (const { reply, since } of open.values()) if (since < before) answer(reply, answers.working);
  }, patience);
  working.unref();
  return {
    endpoint,
    dropped: 0,
    [Symbol.asyncIterator]: () => stock.batches(pull.more),
    async backlog() {
      const { num_pending: undelivered, num_ack_pending: held } = await manager.consumers.info(stream, name);
      return undelivered + held;
    },
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(working);
      stock.end();
      await pull.stop();
      // Querying the consumer makes the server notice abandoned requests. Otherwise, server 2.9 would assign the first message that we
      // return to such a request, and hold it until its acknowledgment times out.
      if (open.size > 0 && !nc.isClosed()) await within(1_000, manager.consumers.info(stream, name));
      // Releases the messages that were not acknowledged, including those still in flight, so that other readers, and this one after a
      // restart, need not wait for them.
      for (const { reply } of open.values()) answer(reply, answers.now);
      open.clear();
      await client.close();
    },
  };
}

/** Time without a request after which the server deletes our consumer, ms. */
const inactiveMs = 30_000;

interface OrderedWish {
  subject: string;
  from: StreamOptions['from'];
  /** Whether to end at the current end of the stream. */
  untilEnd?: boolean;
  /** Maximum number of messages in flight. */
  window?: number | undefined;
}

/**
 * Reads every message of a stream once, in order, and leaves no state on the server. It uses an ephemeral consumer
 * without acknowledgments. If the consumer is lost, it is recreated and continues after the last received message.
 * @throws AIOT_BROKER_REFUSED, AIOT_BROKER_UNREACHABLE
 */
async function openOrderedSource(
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
  /** Number of messages up to the end; undefined if there is no end. */
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
      // A message is missing. It was lost in transit, which nothing else reports.
      if (info.delivery !== expected) return pull.renew('gap');
      expected++;
      last = info.sequence;
      const delivery: Delivery = { message: messageOf(msg, info, endpoint), ack: ignore, nack: ignore };
      if (left === 0) return;
      stock.add(delivery, msg.data.length);
      if (left !== undefined && --left === 0) stock.end();
    },
    async renew() {
      const old = consumer;
      consumer = await persistently(makeConsumer, () => closed, endpoint, `stream ${name}`);
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

/**
 * How long errors reported by the server are tolerated before the source ends, ms. Long enough for a cluster to elect a
 * new leader.
 */
const patienceMs = 60_000;

/**
 * Finds or creates a consumer, with retries, because a server that has just restarted may not have loaded its streams yet, and a cluster
 * may have no leader. Errors that the server reports are final after `patienceMs`; a server that does not respond is retried until the
 * source is closed. `what` is used in the error message.
 */
async function persistently(
  find: () => Promise<string>,
  closed: () => boolean,
  endpoint: string,
  what: string,
): Promise<string> {
  const deadline = systemClock.now() + patienceMs;
  for (;;) {
    try {
      return await find();
    } catch (error) {
      const said = apiCode(error);
      const final = said !== undefined && said !== 503 && systemClock.now() > deadline;
      if (closed() || final) throw natsError(error, endpoint, what);
    }
    await systemClock.sleep(500);
  }
}

/**
 * A start position as JetStream's consumer settings. `lastSequence` is the stream's current last sequence; messages
 * after it are new.
 */
function startOf(
  from: StreamOptions['from'],
  lastSequence: number,
): Pick<ConsumerConfig, 'deliver_policy' | 'opt_start_seq' | 'opt_start_time'> {
  if (from === 'beginning') return { deliver_policy: 'all' as DeliverPolicy };
  if (typeof from === 'object') {
    return {
      deliver_policy: 'by_start_time' as DeliverPolicy,
      opt_start_time: new Date(from.time).toISOString(),
    };
  }
  return atSequence(typeof from === 'number' ? from : lastSequence + 1);
}

/** Settings for reading from a sequence number; the first one is 1. */
function atSequence(sequence: number): Pick<ConsumerConfig, 'deliver_policy' | 'opt_start_seq'> {
  return { deliver_policy: 'by_start_sequence' as DeliverPolicy, opt_start_seq: Math.max(1, sequence) };
}

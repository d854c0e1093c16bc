import type { ConsumerInfo, JetStreamManager, Msg } from 'nats';
import { systemClock } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { NatsClient } from './connect.js';
import { natsError } from './errors.js';
import { type PullHandlers, startPull } from './pull.js';
import { createStock } from './stock.js';
import { apiCode } from './stream.js';
import { deliveryInfo, messageOf } from './stream-message.js';
import { within } from './within.js';

/** Answers to a delivery (ADR-13 of NATS). */
const answers = {
  ack: Buffer.from('+ACK'),
  working: Buffer.from('+WPI'),
  /** Not at once: whoever could not take it needs a moment. */
  later: Buffer.from('-NAK {"delay": 1000000000}'),
  now: Buffer.from('-NAK'),
};

/** A delivery without an answer. */
interface Open {
  reply: string;
  since: number;
}

/**
 * Reads by a durable consumer: each message is acknowledged when its delivery is, and comes again when it is not. While a message
 * is held longer than the server waits, it is told that we work on it, so that a far side that is down for long brings no second
 * copy; one that comes nevertheless while we hold the first is left out.
 */
export async function openDurableSource(
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
    renew: () => consumerAgain(manager, stream, name, endpoint, () => closed),
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
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(working);
      stock.end();
      await pull.stop();
      // Asked about its consumer, a server sees that nobody waits any more. 2.9 would give the first message that we
      // leave to the request that has nobody, and keep it until its time to be acknowledged is over.
      if (open.size > 0 && !nc.isClosed()) await within(1_000, manager.consumers.info(stream, name));
      // Others, and we when we are back, need not wait for what we leave, were it only on its way.
      for (const { reply } of open.values()) answer(reply, answers.now);
      open.clear();
      await client.close();
    },
  };
}

/** How long a consumer may be missing before that ends the source, ms: a cluster finds a new leader meanwhile. */
const patienceMs = 60_000;

async function consumerAgain(
  manager: JetStreamManager,
  stream: string,
  name: string,
  endpoint: string,
  given: () => boolean,
): Promise<string> {
  const deadline = systemClock.now() + patienceMs;
  for (;;) {
    try {
      await manager.consumers.info(stream, name);
      return name;
    } catch (error) {
      const said = apiCode(error);
      const worthless = said !== undefined && said !== 503 && systemClock.now() > deadline;
      if (given() || worthless) throw natsError(error, endpoint, `consumer ${name} of stream ${stream}`);
    }
    await systemClock.sleep(500);
  }
}

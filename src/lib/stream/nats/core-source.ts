import { AiotError } from '../../core/index.js';
import type { Delivery, Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import { createQueue } from '../queue.js';
import type { NatsClient } from './connect.js';
import { natsError } from './errors.js';
import { headersFrom } from './headers.js';

const settle = () => {};

/**
 * What is published from now on, at most once: core NATS keeps nothing, and does not wait for its readers. So there is nothing to
 * acknowledge, and with `overflow: 'wait'` a full queue ends the source with AIOT_STREAM_OVERFLOW instead of losing silently.
 * @throws AIOT_BROKER_REFUSED
 */
export async function openCoreSource(
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
        ack: settle,
        nack: settle,
      };
      if (queue.push(delivery, data.length) || closed) return;
      dropped++;
      if (keepAll) queue.end(overflow(endpoint));
    },
  });
  client.onEnd((error) => queue.end(error));
  // The server says no before it answers this.
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
  return new AiotError('AIOT_STREAM_OVERFLOW', `${endpoint}: messages come faster than they are taken`, {
    endpoint,
    retryable: true,
    next: 'Core NATS keeps nothing for slow readers; a stream does: --jetstream STREAM --durable NAME',
  });
}

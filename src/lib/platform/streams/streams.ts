import {
  createQueue,
  type Delivery,
  type OutgoingMessage,
  type Sink,
  type Source,
  type StreamOptions,
} from '../../stream/index.js';
import { topicMatcher } from '../broker/filter.js';
import { type Offered, offerTo, type Take } from './held.js';

/** Readers and writers in the broker's own process: no socket, no second copy, and the publisher's PUBACK waits for readers. */
export interface LocalStreams {
  /** What is published on a filter. What its reader does not ack is not acknowledged to its publisher either. */
  openSource(filter: string, options?: Pick<StreamOptions, 'queue' | 'overflow'>): Promise<Source>;
  /** Publishes to readers here first, then to the broker's subscribers. A message without a topic goes to `topic`. */
  openSink(topic: string): Promise<Sink>;
  /**
   * Offers a message to the readers here; `done` when all have it, and at once when there is none. Called with what clients
   * publish, before they are told that it was taken.
   */
  offer(message: Offered, done: (error?: Error | null) => void): void;
  /** Ends all sources. */
  close(): void;
}

export interface LocalStreamsParts {
  endpoint: string;
  publish(message: Offered): Promise<void>;
  /** What is kept for later subscribers. */
  retained(filter: string): Promise<Offered[]>;
}

interface Reader {
  fits: (topic: string) => boolean;
  take: Take;
  end(): void;
}

export function createLocalStreams({ endpoint, publish, retained }: LocalStreamsParts): LocalStreams {
  const readers = new Set<Reader>();
  const offer: LocalStreams['offer'] = (message, done) => {
    if (readers.size === 0) return done(null);
    const takes: Take[] = [];
    for (const reader of readers) if (reader.fits(message.topic)) takes.push(reader.take);
    if (takes.length === 0) return done(null);
    offerTo(takes, message, endpoint, done);
  };
  const offered = (message: Offered) =>
    new Promise<void>((resolve, reject) => offer(message, (error) => (error ? reject(error) : resolve())));
  return {
    offer,
    async openSource(filter, { queue = 10_000, overflow = 'drop' } = {}) {
      const { reader, source } = createReader({ filter, endpoint, queue, overflow });
      readers.add(reader);
      const kept = await retained(filter);
      for (const message of kept) offerTo([reader.take], message, endpoint, () => {});
      const close = async () => {
        readers.delete(reader);
        reader.end();
      };
      return Object.assign(source, { close });
    },
    async openSink(topic) {
      const written = new Set<Promise<unknown>>();
      const writeOne = async (message: OutgoingMessage) => {
        const { qos = 1, retain = false } = message;
        const out: Offered = {
          topic: message.topic || topic,
          payload: asBuffer(message.payload),
          qos,
          retain,
        };
        await offered(out);
        await publish(out);
      };
      return {
        endpoint,
        async write(messages) {
          const all = Promise.all(messages.map(writeOne));
          written.add(all);
          try {
            await all;
          } finally {
            written.delete(all);
          }
        },
        async close() {
          await Promise.allSettled(written);
        },
      };
    },
    close() {
      for (const reader of readers) reader.end();
      readers.clear();
    },
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface ReaderOptions {
  filter: string;
  endpoint: string;
  queue: number;
  overflow: 'drop' | 'wait';
}

function createReader({ filter, endpoint, queue: limit, overflow }: ReaderOptions) {
  const queue = createQueue<Delivery>(limit);
  /** Taken, and neither acked nor nacked yet: their publishers wait. */
  const open = new Set<Delivery>();
  let dropped = 0;
  let ended = false;
  const track = (delivery: Delivery): Delivery => {
    const { message } = delivery;
    const tracked: Delivery = {
      message,
      ack() {
        open.delete(tracked);
        delivery.ack();
      },
      nack() {
        open.delete(tracked);
        delivery.nack();
      },
    };
    open.add(tracked);
    return tracked;
  };
  const waitFor = async (delivery: Delivery, bytes: number) => {
    do await queue.whenRoom();
    while (!ended && !queue.push(delivery, bytes));
    if (ended) delivery.nack();
  };
  const take: Take = (delivery, bytes) => {
    const tracked = track(delivery);
    if (ended) return tracked.nack();
    if (queue.push(tracked, bytes)) return;
    if (overflow === 'wait') {
      void waitFor(tracked, bytes);
      return;
    }
    dropped++;
    tracked.ack();
  };
  const reader: Reader = {
    fits: topicMatcher(filter),
    take,
    end() {
      if (ended) return;
      ended = true;
      queue.end();
      for (const delivery of [...open]) delivery.nack();
    },
  };
  const source = {
    endpoint,
    get dropped() {
      return dropped;
    },
    [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
  };
  return { reader, source };
}

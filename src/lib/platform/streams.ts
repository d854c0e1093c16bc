import { AiotError } from '../core/errors.js';
import type { TraceContext } from '../core/trace.js';
import {
  type Delivery,
  type Header,
  type Message,
  mqttHeaders,
  type OutgoingMessage,
  type Sink,
  type Source,
  type StreamOptions,
} from '../stream/message.js';
import { decodeProperties, encodeProperties } from '../stream/mqtt/packets.js';
import { createQueue } from '../stream/queue.js';
import { topicMatcher } from './broker/topics.js';

/**
 * Readers and writers in the broker's own process. They need no socket and no second copy, and a publisher's PUBACK
 * waits for the readers.
 */
export interface LocalStreams {
  /**
   * Reads the messages that match a filter. Until the reader acks a message, the broker does not acknowledge it to its
   * publisher.
   */
  openSource(filter: string, options?: LocalSourceOptions): Promise<Source>;
  /**
   * Publishes to readers here first, then to the broker's subscribers. A message without a topic goes to `topic`; `options` supplies its missing QoS
   * and retain flag.
   */
  openSink(topic: string, options?: { qos?: 0 | 1 | 2; retain?: boolean }): Promise<Sink>;
  /**
   * Offers a message to the readers here. Calls `done` when all readers have the message, or immediately if there are
   * none. Called with clients' messages before those are acknowledged.
   */
  offer(message: Offered, done: Done): void;
  /**
   * Declares a future reader. From now on, messages that match the reader's filter wait whenever no source with that
   * name is open, so that a restarting route misses nothing.
   */
  expect(name: string, filter: string): void;
  /** Closes all sources. */
  close(): void;
}

interface LocalSourceOptions extends Pick<StreamOptions, 'queue' | 'overflow'> {
  /** Name declared with `expect`. */
  name?: string;
}

interface LocalStreamsParts {
  endpoint: string;
  publish(message: Offered): Promise<void>;
  /** Retained messages whose topics match. */
  retained(filter: string): Promise<Offered[]>;
}

interface Reader extends Taker {
  name: string | undefined;
  fits: (topic: string) => boolean;
  end(): void;
}

type Done = (error?: Error | null) => void;

export function createLocalStreams({ endpoint, publish, retained }: LocalStreamsParts): LocalStreams {
  const readers = new Set<Reader>();
  const expected = new Map<string, (topic: string) => boolean>();
  /** Names of expected readers that have no open source. */
  const missing = new Set<string>();
  let waiting: [Offered, Done][] = [];
  const offer: LocalStreams['offer'] = (message, done) => {
    for (const name of missing) {
      if (expected.get(name)?.(message.topic)) return void waiting.push([message, done]);
    }
    if (readers.size === 0) return done(null);
    const takers: Taker[] = [];
    for (const reader of readers) if (reader.fits(message.topic)) takers.push(reader);
    if (takers.length === 0) return done(null);
    offerTo(takers, message, endpoint, done);
  };
  const offered = (message: Offered) =>
    new Promise<void>((resolve, reject) => offer(message, (error) => (error ? reject(error) : resolve())));
  return {
    offer,
    expect(name, filter) {
      expected.set(name, topicMatcher(filter));
      if (![...readers].some((reader) => reader.name === name)) missing.add(name);
    },
    async openSource(filter, { queue = 10_000, overflow = 'drop', name } = {}) {
      const { reader, source } = createReader({ filter, endpoint, queue, overflow, name });
      readers.add(reader);
      if (name !== undefined && missing.delete(name)) {
        const again = waiting;
        waiting = [];
        for (const [message, done] of again) offer(message, done);
      }
      const kept = await retained(filter);
      for (const message of kept) offerTo([reader], message, endpoint, () => {});
      const close = async () => {
        readers.delete(reader);
        if (name !== undefined && expected.has(name)) missing.add(name);
        reader.end();
      };
      return Object.assign(source, { close });
    },
    async openSink(topic, defaults = {}) {
      const written = new Set<Promise<unknown>>();
      const writeOne = async (message: OutgoingMessage) => {
        const { qos = defaults.qos ?? 1, retain = defaults.retain ?? false, payload } = message;
        const { properties, expirySeconds } = propertiesOf(message.headers);
        const expiresAt = expirySeconds === undefined ? undefined : Date.now() + expirySeconds * 1000;
        const out: Offered = {
          ...{ topic: message.topic || topic, payload: asBuffer(payload), qos, retain },
          ...{ properties, expiresAt },
        };
        if (!isTopic(out.topic)) throw unfit(out.topic);
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
      for (const [, done] of waiting) done(new Error('the platform is stopping'));
      waiting = [];
    },
  };
}

function isTopic(topic: string): boolean {
  return topic !== '' && !/[+#\0]/.test(topic) && !topic.startsWith('$');
}

function unfit(topic: string): AiotError {
  return new AiotError(
    'AIOT_STREAM_URL',
    `aiot://stream: expected a topic that does not contain + or # and does not start with $, got "${topic}"`,
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface ReaderOptions {
  filter: string;
  endpoint: string;
  queue: number;
  overflow: 'drop' | 'wait';
  name: string | undefined;
}

function createReader({ filter, endpoint, queue: limit, overflow, name }: ReaderOptions) {
  const queue = createQueue<Delivery>(limit);
  const open = new Set<HeldDelivery>();
  let dropped = 0;
  let ended = false;
  const waitFor = async (delivery: HeldDelivery, bytes: number) => {
    do await queue.whenRoom();
    while (!ended && !queue.push(delivery, bytes));
    if (ended) delivery.nack();
  };
  const take = (delivery: HeldDelivery, bytes: number) => {
    if (ended) return delivery.nack();
    if (queue.push(delivery, bytes)) return;
    if (overflow === 'wait') {
      void waitFor(delivery, bytes);
      return;
    }
    dropped++;
    delivery.ack();
  };
  const reader: Reader = {
    name,
    fits: topicMatcher(filter),
    open,
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

/** A message as the broker offers it to readers in its process. */
export interface Offered {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  retain: boolean;
  /** As in BrokerMessage. */
  properties?: Buffer | undefined;
  expiresAt?: number | undefined;
  trace?: TraceContext | undefined;
}

/**
 * Converts headers into a message's properties. The Message Expiry Interval becomes `expiresAt`, because it counts down
 * and cannot be forwarded unchanged.
 */
function propertiesOf(headers: OutgoingMessage['headers']) {
  if (!headers?.length) return {};
  const isExpiry = ([name, value]: Header) =>
    name === mqttHeaders.messageExpiryInterval &&
    /^\d{1,10}$/.test(String(value)) &&
    Number(value) <= 0xffff_ffff;
  const rest = headers.filter((header) => !isExpiry(header));
  const expiry = headers.find(isExpiry);
  return {
    ...(rest.length > 0 && { properties: encodeProperties(rest) }),
    ...(expiry && { expirySeconds: Number(expiry[1]) }),
  };
}

/** Decodes MQTT properties into message headers. */
export function headersOf({ properties, expiresAt }: Pick<Offered, 'properties' | 'expiresAt'>): {
  headers?: Header[];
} {
  if (properties === undefined && expiresAt === undefined) return {};
  const headers = properties === undefined ? [] : decodeProperties(properties, 0, properties.length);
  if (expiresAt !== undefined) {
    const seconds = Math.max(0, Math.ceil((expiresAt - Date.now()) / 1000));
    headers.push([mqttHeaders.messageExpiryInterval, String(seconds)]);
  }
  return { headers };
}

/** Tracks the readers of one message. */
class Held {
  constructor(
    private waiting: number,
    private readonly done: (error?: Error | null) => void,
    readonly message: Message,
  ) {}

  acked(): void {
    if (--this.waiting === 0) this.done(null);
  }

  /** The first nack decides; later calls have no effect. */
  refused(): void {
    if (this.waiting <= 0) return;
    this.waiting = 0;
    this.done(new Error(`a reader of ${this.message.topic} could not store the message`));
  }
}

/** One reader's delivery, which is settled only once. */
class HeldDelivery implements Delivery {
  private told = false;

  constructor(
    private readonly held: Held,
    private readonly open: Set<HeldDelivery>,
  ) {}

  get message(): Message {
    return this.held.message;
  }

  ack(): void {
    if (this.told) return;
    this.told = true;
    this.open.delete(this);
    this.held.acked();
  }

  nack(): void {
    if (this.told) return;
    this.told = true;
    this.open.delete(this);
    this.held.refused();
  }
}

/** The reader's members that its deliveries use. */
interface Taker {
  /** Deliveries neither acked nor nacked yet; their publishers are waiting. */
  readonly open: Set<HeldDelivery>;
  /** Delivers now, or later when there is room. */
  take(delivery: HeldDelivery, bytes: number): void;
}

/**
 * Offers one message to several readers, whose deliveries share it. `done` is called once: when all readers have acked, or with an error
 * when the first one nacks.
 */
function offerTo(
  takers: readonly Taker[],
  offered: Offered,
  source: string,
  done: (error?: Error | null) => void,
): void {
  const { topic, payload, qos, retain, trace } = offered;
  const message: Message = { topic, payload, time: Date.now(), qos, retain, source, ...headersOf(offered) };
  if (trace) message.trace = trace;
  const held = new Held(takers.length, done, message);
  for (const taker of takers) {
    const delivery = new HeldDelivery(held, taker.open);
    taker.open.add(delivery);
    taker.take(delivery, payload.length);
  }
}

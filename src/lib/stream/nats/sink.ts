import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Msg, MsgHdrs } from 'nats';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectNats, type NatsClient, natsError, within } from './connect.js';
import { headersTo } from './messages.js';
import { checkSubject, matches, type NatsSettings, natsSettings } from './settings.js';
import { findStream, hasJetStream, managerOf } from './stream.js';

/**
 * Publishes messages. `write` resolves when JetStream has acknowledged the messages that a stream stores, and the
 * server has confirmed the receipt of the others. A message without a topic goes to the URL's subject. A `Nats-Msg-Id`
 * header makes a stream discard duplicates within its window.
 * @throws AIOT_STREAM_URL, AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openNatsSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const { endpoint } = url;
  const settings = natsSettings(url, options);
  if (settings.subject !== '') checkSubject(settings.subject, endpoint);
  const client = await connectNats(url, options, settings);
  try {
    const isKept = await keeper(client, settings, endpoint);
    return sinkOf(client, settings, isKept, endpoint);
  } catch (error) {
    await client.close();
    throw error;
  }
}

function sinkOf(
  client: NatsClient,
  settings: NatsSettings,
  isKept: (subject: string) => boolean,
  endpoint: string,
): Sink {
  const publisher = createPublisher(client, endpoint);
  /** Whether a stream stores a subject, for the subjects checked so far; cleared if there are too many subjects. */
  const known = new Map<string, boolean>();
  const outgoing = ({ topic, payload, headers }: OutgoingMessage): Published => {
    const subject = topic || settings.subject;
    let kept = known.get(subject);
    if (kept === undefined) {
      kept = isKept(checkSubject(subject, endpoint));
      if (known.size >= 10_000) known.clear();
      known.set(subject, kept);
    }
    const most = client.nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (payload.length > most) throw tooLarge(payload.length, most, endpoint);
    const made = headers && headers.length > 0 ? headersTo(headers, () => client.nats.headers()) : undefined;
    return { subject, payload, headers: made, kept };
  };
  return {
    endpoint,
    async write(messages) {
      // All messages are validated before the first one is sent.
      await publisher.publish(messages.map(outgoing));
    },
    async close() {
      await publisher.close();
      await client.close();
    },
  };
}

function tooLarge(bytes: number, most: number, endpoint: string): AiotError {
  return new AiotError(
    'AIOT_STREAM_MESSAGE_REFUSED',
    `${endpoint} accepts messages of at most ${most} bytes, got ${bytes}`,
    {
      endpoint,
      next: 'Raise max_payload on the server, or send smaller messages.',
    },
  );
}

/** Determines whether a stream stores a subject; if so, an acknowledgment is awaited. */
async function keeper(
  client: NatsClient,
  { stream, kept, subject }: NatsSettings,
  endpoint: string,
): Promise<(subject: string) => boolean> {
  if (kept !== undefined) return () => kept;
  if (stream !== undefined) {
    const found = await findStream(await managerOf(client, endpoint), { stream, subject }, endpoint);
    const filters = found.config.subjects;
    return (topic) => {
      if (filters.some((filter) => matches(filter, topic))) return true;
      throw new AiotError(
        'AIOT_BROKER_REFUSED',
        `${endpoint}: the stream ${stream} stores ${filters.join(', ')}, but not ${topic}`,
        { endpoint, next: 'Publish to a subject of that stream, or add this one to it.' },
      );
    };
  }
  const filters = await keptSubjects(client, endpoint);
  return (topic) => filters.some((filter) => matches(filter, topic));
}

/** Subjects of all streams; none if JetStream is off, or if we have no permission. */
async function keptSubjects(client: NatsClient, endpoint: string): Promise<string[]> {
  const filters: string[] = [];
  try {
    const timeout = hasJetStream(client) ? 5000 : 500;
    const manager = await client.nc.jetstreamManager({ checkAPI: false, timeout });
    for await (const { config } of manager.streams.list()) filters.push(...(config.subjects ?? []));
  } catch (error) {
    if (client.nc.isClosed()) throw natsError(error, endpoint);
  }
  return filters;
}

/** How long to wait for the acknowledgment of a published message, including lost connections, ms. */
const writeTimeoutMs = 30_000;

/** Delay before messages are resent to a stream without a leader, or to a server that has just restarted, ms. */
const againMs = 250;

interface Published {
  subject: string;
  payload: Uint8Array;
  headers: MsgHdrs | undefined;
  /** Whether a stream stores the message, and acknowledges it. */
  kept: boolean;
}

interface Batch {
  /** Number of messages that are not acknowledged yet. */
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Waiting extends Published {
  id: number;
  batch: Batch;
}

interface Publisher {
  /** Resolves once all messages are acknowledged. Several writes may be in progress; their messages are sent in call order. */
  publish(messages: readonly Published[]): Promise<void>;
  /** Takes at most 2 s; writes with messages that are unacknowledged by then fail. */
  close(): Promise<void>;
}

/**
 * Publishes to JetStream with any number of pending acknowledgments: one subscription receives them all, and the last part of each reply
 * subject identifies the message. Messages that the stream cannot accept at the moment are resent. After a lost connection, all
 * unacknowledged messages are resent in order. A message may then be in the stream twice, unless it has an id (`Nats-Msg-Id`).
 */
export function createPublisher(client: NatsClient, endpoint: string): Publisher {
  const { nc, nats } = client;
  const inbox = nats.createInbox();
  const waiting = new Map<number, Waiting>();
  /** Messages that the stream could not accept at the moment. */
  const later = new Set<Waiting>();
  const underWay = new Set<Promise<void>>();
  let refusal: AiotError | undefined;
  let again: NodeJS.Timeout | undefined;
  let last = 0;

  const send = ({ id, subject, payload, headers }: Waiting) =>
    nc.publish(subject, payload, { reply: `${inbox}.${id}`, ...(headers ? { headers } : {}) });
  const sendAgain = (which: Iterable<Waiting>) => {
    clearTimeout(again);
    again = undefined;
    const all = [...which];
    later.clear();
    for (const one of all) send(one);
  };
  /**
   * Resends, after a pause, only the messages that the stream could not accept. The others are in flight, and would be
   * stored twice.
   */
  const sendLater = (one: Waiting) => {
    later.add(one);
    again ??= setTimeout(() => sendAgain([...later].sort((a, b) => a.id - b.id)), againMs);
  };
  const forget = (one: Waiting) => {
    waiting.delete(one.id);
    later.delete(one);
  };
  const fail = (batch: Batch, error: unknown) => {
    for (const one of waiting.values()) if (one.batch === batch) forget(one);
    batch.reject(error);
  };
  const failAll = (error: unknown) => {
    for (const batch of new Set([...waiting.values()].map((one) => one.batch))) fail(batch, error);
  };

  nc.subscribe(`${inbox}.*`, {
    callback(error, msg) {
      if (error) return failAll(natsError(error, endpoint));
      const one = waiting.get(Number(msg.subject.slice(inbox.length + 1)));
      if (!one) return;
      // No stream responded, perhaps because a restarted server has not loaded its streams yet.
      const nobody = msg.data.length === 0 && msg.headers?.code === 503;
      const refused = nobody ? 'later' : refusedBy(msg, one.subject, endpoint);
      if (refused === 'later') return sendLater(one);
      if (refused) return fail(one.batch, refused);
      forget(one);
      one.batch.left--;
      if (one.batch.left === 0) one.batch.resolve();
    },
  });
  client.onState((state) => {
    if (state === 'connected') sendAgain(waiting.values());
  });
  client.onError((error, operation) => {
    if (operation !== 'publish') return;
    refusal = error;
    failAll(error);
  });
  client.onEnd(failAll);

  const publishKept = (messages: readonly Published[]) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => fail(batch, late(endpoint, batch.left)), writeTimeoutMs);
      const batch: Batch = {
        left: messages.length,
        resolve() {
          clearTimeout(timer);
          resolve();
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      };
      try {
        for (const message of messages) {
          const one = { ...message, id: ++last, batch };
          waiting.set(one.id, one);
          send(one);
        }
      } catch (error) {
        fail(batch, error);
      }
    });
  const publishUnkept = async (messages: readonly Published[]) => {
    refusal = undefined;
    for (const { subject, payload, headers } of messages) {
      nc.publish(subject, payload, headers ? { headers } : {});
    }
    await nc.flush();
    // nats.js passes on a rejection through a queue, so the rejection may arrive later than the response to `flush`.
    await nextTurn();
    if (refusal) throw refusal;
  };
  const publishAll = async (messages: readonly Published[]) => {
    // A write rarely contains both stored and unstored messages; order is preserved within each subject.
    const kept = messages.filter((message) => message.kept);
    const unkept = kept.length === messages.length ? [] : messages.filter((message) => !message.kept);
    const safe = kept.length > 0 ? publishKept(kept) : undefined;
    await Promise.all([safe, unkept.length > 0 ? publishUnkept(unkept) : undefined]);
  };

  return {
    async publish(messages) {
      if (nc.isClosed()) throw natsError(new Error('the connection is closed'), endpoint);
      const published = publishAll(messages).catch((error: unknown) => {
        throw natsError(error, endpoint);
      });
      underWay.add(published);
      await published.finally(() => underWay.delete(published));
    },
    async close() {
      // Waits at most 2 s for messages in flight, because an unreachable server may stay unreachable.
      await within(2000, Promise.allSettled(underWay));
      failAll(
        new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: closed before it was acknowledged`, {
          endpoint,
          retryable: true,
        }),
      );
      clearTimeout(again);
    },
  };
}

/**
 * The stream's error for a message; undefined if the stream has stored the message, now or earlier (recognized by its
 * id).
 */
function refusedBy({ data }: Msg, subject: string, endpoint: string): AiotError | 'later' | undefined {
  // An error begins with `{"err`. Comparing these bytes avoids parsing tens of thousands of acknowledgments.
  if (data[2] !== 0x65 || data[3] !== 0x72 || data[4] !== 0x72) return undefined;
  const { error } = JSON.parse(Buffer.from(data).toString()) as {
    error: { code: number; err_code: number; description: string };
  };
  if (error.code === 503) return 'later';
  return natsError({ api_error: error }, endpoint, `publishing to ${subject}`);
}

function late(endpoint: string, left: number): AiotError {
  return new AiotError(
    'AIOT_BROKER_UNREACHABLE',
    `${endpoint}: ${plural(left, 'message')} without an acknowledgment after ${writeTimeoutMs} ms`,
    { endpoint, retryable: true },
  );
}

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
 * Publishes. What a JetStream stream keeps is acknowledged by it, and `write` resolves then; of other messages the server says only that
 * it has had them. A message without a topic goes to the URL's subject. A `Nats-Msg-Id` header makes a stream leave out a second
 * copy within its window. @throws AIOT_STREAM_URL, AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
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
  /** Subjects that were found good; forgotten when there are too many. */
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
      // All are looked at before the first one goes.
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
    `${endpoint} takes at most ${most} bytes in a message, got ${bytes}`,
    {
      endpoint,
      next: 'Raise max_payload at the server, or send less in one message.',
    },
  );
}

/** Tells whether a stream keeps a subject: then an acknowledgement is waited for. */
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
        `${endpoint}: the stream ${stream} keeps ${filters.join(', ')}, and not ${topic}`,
        { endpoint, next: 'Publish to a subject of that stream, or add this one to it.' },
      );
    };
  }
  const filters = await keptSubjects(client, endpoint);
  return (topic) => filters.some((filter) => matches(filter, topic));
}

/** Subjects of all streams; none where JetStream is off, or we may not ask. */
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

/** Longest wait for what was published to be acknowledged, ms, with losses of the connection in it. */
const writeTimeoutMs = 30_000;

/** A stream without a leader, or a server that has just come back, is asked again after this time, ms. */
const againMs = 250;

interface Published {
  subject: string;
  payload: Uint8Array;
  headers: MsgHdrs | undefined;
  /** A stream keeps it and acknowledges it. */
  kept: boolean;
}

interface Batch {
  /** Not acknowledged yet. */
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface Waiting extends Published {
  id: number;
  batch: Batch;
}

interface Publisher {
  /** Resolves when all of them are safe. Several may be under way: they are sent in the order of the calls. */
  publish(messages: readonly Published[]): Promise<void>;
  /** Within 2 s; what is not acknowledged by then is refused. */
  close(): Promise<void>;
}

/**
 * Publishes to JetStream with any number of acknowledgements under way: one subscription gets them all, and the last part of each reply
 * subject says which message is meant. What the stream cannot take at the moment goes again. After a loss of the connection all that is
 * not acknowledged does, in its order: a message may then be in the stream twice, unless it has an id (`Nats-Msg-Id`).
 */
export function createPublisher(client: NatsClient, endpoint: string): Publisher {
  const { nc, nats } = client;
  const inbox = nats.createInbox();
  const waiting = new Map<number, Waiting>();
  /** Of those, what the stream could not take at that moment. */
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
  /** These alone: others are on their way, and would be in the stream twice. */
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
      // Nobody there to keep it: a server that comes back says so before it knows its streams.
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
    // A refusal came before that answer, but nats.js hands it on by a queue.
    await new Promise((resolve) => setImmediate(resolve));
    if (refusal) throw refusal;
  };
  const publishAll = async (messages: readonly Published[]) => {
    // In one write both kinds are rare; the order is kept for each subject.
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
      // Whoever closes while something is under way does not wait for it: a server that is away may be so for good.
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

/** What a stream says instead of taking a message; undefined where it took it (or had it already, by its id). */
function refusedBy({ data }: Msg, subject: string, endpoint: string): AiotError | 'later' | undefined {
  // The server writes an error before all else, and tens of thousands of acknowledgements need no parsing.
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
    `${endpoint}: ${plural(left, 'message')} without an acknowledgement after ${writeTimeoutMs} ms`,
    { endpoint, retryable: true },
  );
}

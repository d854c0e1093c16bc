import { AiotError } from '../../core/index.js';
import type { OutgoingMessage, Sink } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { connectNats, type NatsClient } from './connect.js';
import { natsError } from './errors.js';
import { headersTo } from './headers.js';
import { createPublisher, type Published } from './publisher.js';
import { type NatsSettings, natsSettings } from './settings.js';
import { findStream, hasJetStream, managerOf } from './stream.js';
import { checkSubject, matches } from './subject.js';

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

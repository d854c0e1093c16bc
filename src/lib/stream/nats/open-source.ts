import { AiotError } from '../../core/index.js';
import type { Source } from '../message.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { connectNats, type NatsClient } from './connect.js';
import { openCoreSource } from './core-source.js';
import { durableConsumer } from './durable.js';
import { openDurableSource } from './durable-source.js';
import { openOrderedSource } from './ordered-source.js';
import { type NatsSettings, natsSettings } from './settings.js';
import { findStream, managerOf } from './stream.js';
import { checkFilter } from './subject.js';

/**
 * `nats://HOST/SUBJECT`: what is published from now on (core NATS), or, where a stream, a durable consumer or a place to begin at
 * is named, what a JetStream stream has kept.
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

/** Whether a stream is meant: reading from now on needs none. */
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
    const wish = { durable, subject: settings.subject, from: settings.from, unacked };
    const consumer = await durableConsumer(client, manager, stream, wish, endpoint);
    return openDurableSource(client, manager, consumer, settings, options, endpoint);
  }
  if (stream.config.retention === 'workqueue') {
    const { name } = stream.config;
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${endpoint}: in ${name}, a work queue, reading means taking away: expected a durable consumer's name`,
      {
        next: '--durable NAME takes them; without --jetstream you see what is published from now on, and take nothing.',
      },
    );
  }
  return openOrderedSource(client, manager, stream, settings, options, endpoint);
}

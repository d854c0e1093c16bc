import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError, hasCode } from '../../core/errors.js';
import { onAbort, untilAborted } from '../../core/tasks.js';
import type { Delivery, OutgoingMessage, Sink, Source } from '../../stream/message.js';
import { openAdmin, openSink, openSource } from '../../stream/open.js';
import type { Spool } from '../../stream/spool/spool.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { Store } from '../store/database.js';
import { controlTopic, dataTopic } from './files.js';

/** All of the guide's clients read only this first partition. */
const partition = 0;

const connectTimeoutMs = 5000;

/** Delay before a topic is reopened, ms. */
const pauseMs = 2000;

export interface KafkaAddress {
  /** URL of the endpoint without credentials. */
  endpoint: string;
  /** URL of the cluster. */
  cluster: string;
  /** URL of a topic's first partition. */
  topic: (name: string) => string;
}

/** How long a write is retried. Retries use the same sequence numbers, so that no data is stored twice. */
const patience = '24h';

/** Address of the relay's Kafka. @throws AIOT_USAGE for another engine, AIOT_STREAM_URL */
export function kafkaAddress(events: string): KafkaAddress {
  const { scheme, path, endpoint } = parseStreamUrl(events);
  if ((scheme !== 'kafka' && scheme !== 'kafkas') || path !== '') {
    throw new AiotError(
      'AIOT_USAGE',
      `--events with --compat architects-guide: expected kafka://HOST:PORT, got ${endpoint}${path === '' ? '' : '/…'}`,
      { next: "The guide's pipelines read from and write to Kafka. For MQTT only, omit --events." },
    );
  }
  const [, base = '', settings = ''] = /^([^?]*?)\/*(?:\?(.*))?$/s.exec(events) ?? [];
  const query = (text: string) => (text === '' ? '' : `?${text}`);
  const own = [`partition=${partition}`, `timeout=${patience}`, settings]
    .filter((part) => part !== '')
    .join('&');
  return {
    endpoint,
    cluster: `${base}${query(settings)}`,
    topic: (name) => `${base}/${name}${query(own)}`,
  };
}

/** Creates the guide's topics if missing: with one partition each, as its clients expect. */
export async function ensureTopics(address: KafkaAddress, signal: AbortSignal): Promise<void> {
  const admin = await openAdmin(address.cluster, { connectTimeoutMs });
  try {
    const there = await admin.topics({ listenMs: 0, signal });
    for (const name of [dataTopic, controlTopic]) {
      signal.throwIfAborted();
      if (there.some(({ topic }) => topic === name)) continue;
      await admin.create?.({ name, partitions: 1 }, { dryRun: false });
    }
  } finally {
    await admin.close();
  }
}

/**
 * Reads a topic from the position of the previous process. On first use, reading begins with messages written since the
 * platform was first configured to read the topic; older messages are never read. `take` records the position through
 * `store`, in the same transaction as its own changes.
 */
export async function follow(options: FollowOptions, signal: AbortSignal, take: Take): Promise<void> {
  const { log, name } = options;
  let failing = false;
  const takeIt: Take = async (batch, stand) => {
    if (failing) log.info({ topic: name }, 'reading a topic of the guide again');
    failing = false;
    await take(batch, stand);
  };
  while (!signal.aborted) {
    try {
      await followOnce(options, signal, takeIt);
    } catch (err) {
      if (signal.aborted) return;
      // Logged once per outage.
      if (!failing) log.warn({ err, topic: name }, 'cannot read a topic of the guide at the moment');
      failing = true;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}

interface FollowOptions {
  address: KafkaAddress;
  name: string;
  store: Store;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
}

type Take = (batch: readonly Delivery[], stand: (store: Store) => Promise<unknown>) => Promise<void>;

async function followOnce(
  { address, name, store, now }: FollowOptions,
  signal: AbortSignal,
  take: Take,
): Promise<void> {
  await ensureTopics(address, signal);
  const { since, next } = await positionOf(store, name, now());
  const source = await openSource(address.topic(name), {
    from: next ?? { time: since },
    connectTimeoutMs,
    signal,
  });
  const close = () => void source.close();
  const leave = onAbort(signal, close);
  try {
    for await (const batch of source) {
      const last = batch.at(-1)?.message.position?.split(':')[1];
      await take(batch, (transaction) => stand(transaction, name, Number(last) + 1));
    }
  } finally {
    leave();
    await source.close();
  }
}

/**
 * Position in a topic. The starting time is recorded at the very first start, so that messages sent before Kafka was
 * reachable are read later.
 */
export async function positionOf(store: Store, topic: string, now: number) {
  await store
    .insertInto('guidePositions')
    .values({ topic, since: now, next: null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return store.selectFrom('guidePositions').selectAll().where('topic', '=', topic).executeTakeFirstOrThrow();
}

function stand(store: Store, topic: string, next: number): Promise<unknown> {
  return store.updateTable('guidePositions').set({ next }).where('topic', '=', topic).execute();
}

/** Maximum number of messages and bytes in one write. */
const [most, mostBytes] = [1000, 768 * 1024];

const closeMs = 500;
const pausesMs = { first: 100, longest: 5000 };

/** Spools the broker's messages to disk, and then acknowledges them. Ends with the source. */
export async function spoolAll(source: Source, spool: Spool, log: Logger, onMore: () => void): Promise<void> {
  for await (const batch of source) {
    try {
      await spool.append(
        batch.map(({ message }) => ({ topic: dataTopic, payload: message.payload, time: message.time })),
      );
      for (const delivery of batch) delivery.ack();
      onMore();
    } catch (err) {
      // Not acknowledged, so their publishers resend them.
      for (const delivery of batch) delivery.nack();
      log.error({ err }, 'could not store data of the guide');
      await delay(500);
    }
  }
}

/** Sends spooled messages until the signal is aborted; Kafka may be unreachable for any length of time. */
export async function sendAll(
  { url, spool, log, more }: { url: string; spool: Spool; log: Logger; more: () => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  let sink: Sink | undefined;
  let pauseMs = pausesMs.first;
  const write = async (messages: readonly OutgoingMessage[]): Promise<void> => {
    sink ??= await openSink(url, { connectTimeoutMs: 5000, signal });
    try {
      await untilAborted(sink.write(messages), signal);
    } catch (err) {
      if (!hasCode(err, 'AIOT_STREAM_MESSAGE_REFUSED')) throw err;
      const half = Math.ceil(messages.length / 2);
      if (messages.length === 1)
        return log.warn({ err }, 'Kafka permanently rejected a message, which was dropped');
      await write(messages.slice(0, half));
      await write(messages.slice(half));
    }
  };
  try {
    while (!signal.aborted) {
      const chunk = await spool.read(most, mostBytes);
      if (chunk.messages.length === 0) {
        await more();
        continue;
      }
      try {
        await write(chunk.messages);
        await spool.commit(chunk);
        pauseMs = pausesMs.first;
      } catch (err) {
        if (signal.aborted) return;
        if (pauseMs === pausesMs.first)
          log.warn({ err }, "Kafka does not accept the guide's data; it is queued on disk");
        await atMost(closeMs, sink?.close());
        sink = undefined;
        await delay(pauseMs, undefined, { signal }).catch(() => {});
        pauseMs = Math.min(2 * pauseMs, pausesMs.longest);
      }
    }
  } finally {
    await atMost(closeMs, sink?.close());
  }
}

/** Waits at most this long, ms, for `task`, because a destination may never respond. */
export async function atMost(ms: number, task: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([task?.catch(() => {}), over]);
  clearTimeout(timer);
}

import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { deferred, onAbort } from '../../core/tasks.js';
import type { Sink, Source, StreamOptions } from '../message.js';
import { openSink, openSource } from '../open.js';
import { parseStreamUrl, type StreamUrl } from '../url.js';

interface BenchOptions extends StreamOptions {
  /** Address of the broker. If the address contains no topic, the benchmark uses its own topic. */
  url: string;
  /** Number of messages; default 10 000. */
  count?: number;
  /** Size of each payload, bytes; default 150. */
  size?: number;
  /** Messages per second; 0 = as fast as possible. */
  rate?: number;
  onProgress?: (received: number, count: number) => void;
}

const milliseconds = {
  least: z.number(),
  p50: z.number(),
  p90: z.number(),
  p99: z.number(),
  most: z.number(),
};

export const benchSchema = z.object({
  endpoint: z.string(),
  topic: z.string(),
  messages: z.int(),
  /** Size of a payload, bytes. */
  bytes: z.int(),
  /** Measured from the start of publishing until the broker has acknowledged every message. Rates are in messages and bytes per second. */
  published: z.object({ seconds: z.number(), rate: z.number(), byteRate: z.number() }),
  /** Measured from the start of publishing to the last message received. Rates are in messages and bytes per second. */
  received: z.object({ messages: z.int(), seconds: z.number(), rate: z.number(), byteRate: z.number() }),
  lost: z.int(),
  twice: z.int(),
  outOfOrder: z.int(),
  /** Latency from publisher to reader, ms, measured with a single clock; null if nothing was received. */
  latency: z.object(milliseconds).nullable(),
});

export type Bench = z.output<typeof benchSchema>;

/** How long to wait for the reader's first message, ms. */
const waitMs = 10_000;

const silenceMs = 3000;

/** Number of messages in each write. */
const perWrite = 100;

const writesUnderWay = 20;

/**
 * Publishes to a broker, reads the messages back in the same process, and measures throughput, latency, loss and order.
 * @throws AIOT_USAGE, AIOT_TIMEOUT (nothing was received), AIOT_INTERRUPTED, and the errors of opening and writing
 */
export async function benchStream(options: BenchOptions): Promise<Bench> {
  const { count = 10_000, size = 150, signal } = options;
  const url = parseStreamUrl(options.url);
  refuseOwnSession(url);
  const run = randomBytes(4).toString('hex');
  const topic = url.path === '' ? ownTopic(url, run) : url.path;
  const address = withTopic(options.url, url, topic);
  const receipts = new Receipts(count);
  const heard = deferred();
  const source = await openSource(address, { ...options, overflow: 'wait', from: 'latest' });
  let sink: Sink | undefined;
  const stop = () => void source.close();
  const leave = onAbort(signal, stop);
  try {
    const reading = read(source, run, receipts, heard.resolve);
    reading.catch(heard.reject);
    sink = await openSink(address, options);
    await untilHeard(sink, topic, run, size, heard.promise);
    const started = performance.now();
    const writing = publishAll(sink, { ...options, count, size, topic, run }, options.onProgress, receipts);
    await Promise.race([writing, reading]);
    const acknowledged = performance.now();
    await allIn(receipts, count, reading);
    if (signal?.aborted)
      throw new AiotError('AIOT_INTERRUPTED', `stopped after ${receipts.messages} messages`);
    const bytes = encodeProbe({ run, number: 0, sent: 0 }, size).length;
    const publishSeconds = (acknowledged - started) / 1000;
    const seconds = Math.max(0, receipts.last - started) / 1000;
    return {
      ...{ endpoint: url.endpoint, topic, messages: count, bytes },
      published: { seconds: publishSeconds, ...rates(count, bytes, publishSeconds) },
      received: { messages: receipts.messages, seconds, ...rates(receipts.messages, bytes, seconds) },
      lost: count - receipts.messages,
      twice: receipts.twice,
      outOfOrder: receipts.outOfOrder,
      latency: receipts.latency() ?? null,
    };
  } finally {
    leave();
    await source.close();
    await sink?.close();
  }
}

function rates(messages: number, bytes: number, seconds: number) {
  const rate = seconds > 0 ? messages / seconds : 0;
  return { rate, byteRate: rate * bytes };
}

/** Rejects a URL that sets the client id, because the reader and the publisher would share it and disconnect each other. */
function refuseOwnSession(url: StreamUrl): void {
  if (url.query.clientId === undefined) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${url.endpoint}: a measurement connects twice, so clientId must not be set`,
  );
}

function ownTopic(url: StreamUrl, run: string): string {
  if (/^(mqtts?|wss?|aiot)$/.test(url.scheme)) return `aiot/bench/${run}`;
  if (/^nats/.test(url.scheme)) return `aiot.bench.${run}`;
  const example = `${url.endpoint}/bench`;
  throw new AiotError(
    'AIOT_USAGE',
    `${url.endpoint}: expected a topic for the measurement, such as ${example}`,
  );
}

/** Adds the topic to the URL, unless the URL already has one. @throws AIOT_USAGE if the topic is a filter */
function withTopic(text: string, url: StreamUrl, topic: string): string {
  if (/[#>*]|(^|\/)\+(\/|$)/.test(topic)) {
    throw new AiotError('AIOT_USAGE', `${url.endpoint}: expected a topic, got the filter ${topic}`);
  }
  if (url.path !== '') return text;
  const [before = '', query] = text.split('?', 2);
  return `${before.replace(/\/$/, '')}/${topic}${query === undefined ? '' : `?${query}`}`;
}

async function read(source: Source, run: string, receipts: Receipts, onHeard: () => void): Promise<void> {
  for await (const batch of source) {
    const now = performance.now();
    for (const { message, ack } of batch) {
      const probe = decodeProbe(message.payload);
      if (probe?.run === run) {
        onHeard();
        receipts.take(probe, now);
      }
      ack();
    }
  }
}

/** Sends probes until the reader receives one, because some brokers confirm a subscription before it is active. */
async function untilHeard(sink: Sink, topic: string, run: string, size: number, heard: Promise<void>) {
  const over = performance.now() + waitMs;
  let there = false;
  const done = heard.then(() => {
    there = true;
  });
  while (!there) {
    if (performance.now() > over) {
      const message = `${sink.endpoint}: nothing came back from ${topic} within ${waitMs / 1000} s`;
      throw new AiotError('AIOT_TIMEOUT', message, {
        next: 'Check that this client may publish and subscribe to the topic: `aiot stream check URL`.',
      });
    }
    await sink.write([{ topic, payload: encodeProbe({ run, number: -1, sent: performance.now() }, size) }]);
    await Promise.race([done, delay(100)]);
  }
}

interface Publishing {
  count: number;
  size: number;
  rate?: number;
  topic: string;
  run: string;
  signal?: AbortSignal;
}

async function publishAll(
  sink: Sink,
  options: Publishing,
  onProgress: BenchOptions['onProgress'],
  receipts: Receipts,
): Promise<void> {
  const { count, size, rate = 0, topic, run, signal } = options;
  const underWay = new Set<Promise<void>>();
  const started = performance.now();
  let failure: { error: unknown } | undefined;
  for (let from = 0; from < count && !signal?.aborted && !failure; ) {
    const due = rate === 0 ? count : Math.floor(((performance.now() - started) / 1000) * rate) + 1;
    const to = Math.min(count, from + perWrite, due);
    if (to <= from) {
      await delay(1);
      continue;
    }
    const sent = performance.now();
    const messages = Array.from({ length: to - from }, (_, index) => ({
      topic,
      payload: encodeProbe({ run, number: from + index, sent }, size),
    }));
    from = to;
    const write = sink
      .write(messages)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => underWay.delete(write));
    underWay.add(write);
    if (underWay.size >= writesUnderWay) await Promise.race(underWay);
    onProgress?.(receipts.messages, count);
  }
  await Promise.all(underWay);
  if (failure) throw failure.error;
}

/** Waits until all messages have arrived, the source has ended, or nothing new has arrived for `silenceMs`. */
async function allIn(receipts: Receipts, count: number, reading: Promise<void>): Promise<void> {
  let ended = false;
  const end = reading.then(() => {
    ended = true;
  });
  let before = -1;
  let since = performance.now();
  while (receipts.messages < count && !ended) {
    if (receipts.messages !== before) {
      before = receipts.messages;
      since = performance.now();
    } else if (performance.now() - since > silenceMs) return;
    await Promise.race([end, delay(5)]);
  }
}

/** Upper bound of a probe's size without padding, bytes. */
const smallestProbe = 80;

/** Smallest accepted size of a payload, bytes. */
export const smallestBench = smallestProbe;

/** Messages received in a run, and their times. */
export class Receipts {
  messages = 0;
  twice = 0;
  outOfOrder = 0;
  /** Arrival time of the last message (`performance.now()`), duplicates excluded. */
  last = 0;
  first = 0;
  private readonly seen: Uint8Array;
  private readonly latencies: Float64Array;
  private highest = -1;

  constructor(count: number) {
    this.seen = new Uint8Array(count);
    this.latencies = new Float64Array(count);
  }

  take({ number, sent }: Probe, now: number): void {
    if (number < 0 || number >= this.seen.length) return;
    if (this.seen[number]) {
      this.twice++;
      return;
    }
    this.seen[number] = 1;
    if (number < this.highest) this.outOfOrder++;
    else this.highest = number;
    if (this.messages === 0) this.first = now;
    this.latencies[this.messages++] = now - sent;
    this.last = now;
  }

  /** Latencies from sender to reader, ms; undefined if no message has arrived. */
  latency(): { least: number; p50: number; p90: number; p99: number; most: number } | undefined {
    if (this.messages === 0) return undefined;
    const sorted = this.latencies.slice(0, this.messages).sort();
    const at = (share: number) => Math.round(percentile(sorted, share) * 1000) / 1000;
    return { least: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) };
  }
}

/** The smallest value that at least this share of the values does not exceed (nearest rank). `sorted` is ascending and not empty. */
function percentile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1]!;
}

/** A message for the measurement: JSON, which every tool can read, padded to the requested size. */
interface Probe {
  run: string;
  /** Number of the message; -1 for a probe that only tests whether the reader is subscribed. */
  number: number;
  /** Time of sending (`performance.now()`), ms. */
  sent: number;
}

export function encodeProbe({ run, number, sent }: Probe, size: number): Buffer {
  const text = `{"bench":"${run}","n":${number},"sent":${sent.toFixed(3)},"pad":"`;
  return Buffer.from(`${text}${'x'.repeat(Math.max(0, size - text.length - 2))}"}`);
}

const form = /^\{"bench":"([0-9a-f]+)","n":(-?\d+),"sent":(\d+\.\d+),/;

/** Undefined if the payload is not a message of this benchmark. */
export function decodeProbe(payload: Uint8Array): Probe | undefined {
  const head = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, smallestProbe));
  const [, run, number, sent] = form.exec(head.toString('latin1')) ?? [];
  return run === undefined ? undefined : { run, number: Number(number), sent: Number(sent) };
}

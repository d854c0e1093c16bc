import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { PlatformEvent } from '../../api/events/api.js';
import type { RelayStatus } from '../../api/relay-api.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { dedupeHeader, type Header, type OutgoingMessage, type Sink } from '../../stream/message.js';
import { openAdmin, openSink } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { JournalReader, PlacedEntry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import { type EventFeed, extentOf } from './events.js';
import { type Cursor, sendOn, untilDone } from './outbox.js';

interface RelayParts {
  /** kafka://… or nats://… */
  url: string;
  store: Store;
  feed: EventFeed;
  journal: JournalReader;
  /** Identifies this platform among others. */
  platform: string;
  log: Logger;
  open?: typeof openSink;
}

interface RelayFigures {
  /** URL of the destination without credentials. */
  endpoint: string;
  state: 'waiting' | 'connected' | 'disconnected';
  /** Code of the error that prevents sending. */
  error: string | null;
  events: LaneFigures;
  telemetry: LaneFigures;
}

const connectTimeoutMs = 5000;
const pauses = { firstPauseMs: 250, longestPauseMs: 5000 };

/** How long shutdown waits for writes in progress, ms. Resending them later does no harm. */
const farewellMs = 700;

/** JetStream's stream for both topics, unless another stream already contains them. */
const streamName = 'AIOT';

/**
 * Forwards telemetry and events to Kafka or NATS JetStream, at least once and in order for each device and subject. Both are read from
 * their stores, so an unreachable destination delays nothing else, and nothing accumulates in memory.
 */
export class Relay implements Worker {
  readonly name = 'relay';
  readonly figures: RelayFigures;
  private readonly lanes: { events: Lane; telemetry: Lane };
  private readonly sinkUrl: string;

  /** @throws AIOT_USAGE if the URL names neither Kafka nor NATS, AIOT_STREAM_URL */
  constructor(private readonly parts: RelayParts) {
    const { url, store, feed, journal, platform, log } = parts;
    const { scheme, endpoint } = parseStreamUrl(url);
    if (!['kafka', 'kafkas', 'nats', 'natss'].includes(scheme)) {
      throw new AiotError(
        'AIOT_USAGE',
        `--events: expected kafka://HOST:PORT or nats://HOST:PORT, got ${endpoint}`,
      );
    }
    const kept = scheme.startsWith('nats') && !/[?&](stream|jetstream)=/.test(url);
    this.sinkUrl = kept ? `${url}${url.includes('?') ? '&' : '?'}jetstream=true` : url;
    const onRefused = (err: unknown, id: string) =>
      log.error({ err, id }, 'a message was rejected and skipped');
    this.lanes = {
      events: new Lane({
        onRefused,
        cursor: cursorIn(store, endpoint, 'events'),
        source: (position, signal) => eventSource(store, feed, platform, position, signal),
      }),
      telemetry: new Lane({
        onRefused,
        cursor: cursorIn(store, endpoint, 'telemetry'),
        source: (position, signal) => telemetrySource(journal, platform, position, signal),
      }),
    };
    const { events, telemetry } = this.lanes;
    this.figures = {
      endpoint,
      state: 'waiting',
      error: null,
      events: events.figures,
      telemetry: telemetry.figures,
    };
  }

  /** Highest id of the events known to be delivered; 0 = none. */
  async position(): Promise<number> {
    const { endpoint } = this.figures;
    return Number((await cursorIn(this.parts.store, endpoint, 'events').read()) ?? 0);
  }

  async status(): Promise<RelayStatus> {
    const { latest } = await extentOf(this.parts.store);
    const behind = Math.max(0, latest - (await this.position()));
    return { ...this.figures, events: { ...this.figures.events, behind } };
  }

  async run(signal: AbortSignal): Promise<void> {
    let sentBefore = this.sent;
    await untilDone(
      () => this.connect(signal),
      signal,
      pauses,
      (error) => {
        this.lost(error);
        const sent = this.sent > sentBefore;
        sentBefore = this.sent;
        return sent;
      },
    );
    if (signal.aborted) this.figures.state = 'waiting';
  }

  private get sent(): number {
    return this.figures.events.sent + this.figures.telemetry.sent;
  }

  private async connect(signal: AbortSignal): Promise<void> {
    const { open = openSink, log } = this.parts;
    const ending = new AbortController();
    const both = AbortSignal.any([signal, ending.signal]);
    if (!this.parts.open) await this.makeTopics();
    const onState = (state: 'connected' | 'disconnected') => {
      if (!both.aborted) this.figures.state = state;
    };
    const sink = await open(this.sinkUrl, { connectTimeoutMs, signal: both, onState });
    try {
      if (this.figures.error !== null) log.info({ endpoint: sink.endpoint }, 'forwarding events again');
      this.figures.state = 'connected';
      this.figures.error = null;
      // When one lane ends, both do, and restart from their saved positions.
      const lanes = Object.values(this.lanes).map((lane) =>
        lane.run(sink, both).finally(() => ending.abort()),
      );
      const done = Promise.allSettled(lanes);
      await Promise.race([done, farewell(signal)]);
      if (signal.aborted) return;
      // Waits for the last write, whose messages must not arrive after later ones.
      const failure = (await done).find((end) => end.status === 'rejected');
      if (failure) throw failure.reason;
    } finally {
      await closed(sink);
    }
  }

  /**
   * Creates topics if the destination does not auto-create them. Failures are not reported, because the topic may exist
   * or be managed elsewhere.
   */
  private async makeTopics(): Promise<void> {
    const admin = await openAdmin(this.parts.url, { connectTimeoutMs });
    const specs =
      this.sinkUrl === this.parts.url
        ? [{ name: telemetryTopic }, { name: eventsTopic }]
        : [{ name: streamName, subjects: [telemetryTopic, eventsTopic] }];
    try {
      for (const spec of specs) await admin.create?.(spec, { dryRun: false }).catch(() => {});
    } finally {
      await admin.close();
    }
  }

  private lost(error: unknown): void {
    const code = error instanceof AiotError ? error.code : 'AIOT_BUG';
    if (this.figures.error !== code) this.parts.log.error({ err: error }, 'cannot forward events');
    this.figures.state = 'disconnected';
    this.figures.error = code;
  }
}

/** Resolves shortly after the signal is aborted. */
async function farewell(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => onAbort(signal, resolve));
  await delay(farewellMs, undefined, { ref: false });
}

async function closed(sink: Sink): Promise<void> {
  const end = sink.close().catch(() => {});
  await Promise.race([end, delay(farewellMs, undefined, { ref: false })]);
}

async function* eventSource(
  store: Store,
  feed: EventFeed,
  platform: string,
  position: string | null,
  signal: AbortSignal,
): AsyncGenerator<Item[]> {
  const after = position === null ? (await extentOf(store)).pruned : Number(position);
  for await (const { events } of feed.follow(after, signal)) {
    yield events.map((event) => eventItem(event, platform));
  }
}

async function* telemetrySource(
  journal: JournalReader,
  platform: string,
  position: string | null,
  signal: AbortSignal,
): AsyncGenerator<Item[]> {
  for await (const batch of journal.from(position, signal)) {
    yield batch.map((placed) => telemetryItem(placed, platform));
  }
}

interface LaneFigures {
  sent: number;
  /** Number of messages that the destination rejected permanently, for example because of their size. They are logged and skipped. */
  refused: number;
  /** Time of the oldest unsent message, ms since 1970; null = all messages are sent. */
  waitingSince: number | null;
}

interface LaneOptions {
  /** Yields entries after a position, first existing and then new ones. */
  source: (position: string | null, signal: AbortSignal) => AsyncIterable<readonly Item[]>;
  cursor: Cursor<string>;
  onRefused: (error: unknown, id: string) => void;
}

/** Maximum number of messages in one write, which is held in memory. */
const mostMessages = 1000;

const mostBytes = 2 * 1024 * 1024;

const saveEveryMs = 500;

/** Forwards one log in order: the next write begins when the destination has stored the previous one. */
class Lane {
  readonly figures: LaneFigures = { sent: 0, refused: 0, waitingSince: null };

  constructor(private readonly options: LaneOptions) {}

  /** Runs until the signal is aborted. @throws errors of the sink, except for messages that it rejects permanently */
  async run(sink: Sink, signal: AbortSignal): Promise<void> {
    const { source, cursor } = this.options;
    const deliver = async (items: readonly Item[], arrived: (position: string) => void) => {
      for (const part of partsOf(items)) {
        this.figures.waitingSince = part[0]?.at ?? null;
        await this.send(sink, part);
        const last = part.at(-1);
        if (last) arrived(last.position);
        if (signal.aborted) return false;
      }
      this.figures.waitingSince = null;
      return true;
    };
    await sendOn({ cursor, source, deliver, saveEveryMs }, signal);
  }

  private async send(sink: Sink, items: readonly Item[]): Promise<void> {
    const messages = items.flatMap(({ message }) => message ?? []);
    if (messages.length === 0) return;
    try {
      await sink.write(messages);
      this.figures.sent += messages.length;
    } catch (error) {
      if (!hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED')) throw error;
      for (const message of messages) await this.sendOne(sink, message);
    }
  }

  /**
   * Sends a single message. If the destination rejects one message in a batch, every message in the batch is sent
   * separately, so some may be sent twice.
   */
  private async sendOne(sink: Sink, message: OutgoingMessage): Promise<void> {
    try {
      await sink.write([message]);
      this.figures.sent++;
    } catch (error) {
      if (!hasCode(error, 'AIOT_STREAM_MESSAGE_REFUSED')) throw error;
      this.figures.refused++;
      this.options.onRefused(error, String(message.headers?.[1]?.[1]));
    }
  }
}

function* partsOf(items: readonly Item[]): Generator<Item[]> {
  let part: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = item.message?.payload.length ?? 0;
    if (part.length >= mostMessages || (part.length > 0 && bytes + size > mostBytes)) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(item);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

/**
 * Stored position of a lane.
 * @param endpoint address of the destination, without credentials; a new address starts from the beginning
 */
function cursorIn(store: Store, endpoint: string, lane: string): Cursor<string> {
  const key = `relay:${lane}:${sha256Hex(endpoint).slice(0, 16)}`;
  return {
    async read() {
      const row = await store.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst();
      return row?.value ?? null;
    },
    async save(value) {
      await store
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },
  };
}

const telemetryTopic = 'aiot.telemetry';
const eventsTopic = 'aiot.events';

/** One item to forward, and the lane's position after it. `message` is null for items that are not sent. */
interface Item {
  message: OutgoingMessage | null;
  position: string;
  /** Time of the item, ms since 1970. */
  at: number;
}

/** `platform`: distinguishes this platform's messages from another platform's messages in the same topic. */
function eventItem(event: PlatformEvent, platform: string): Item {
  const { id, at, subject } = event;
  const message = messageOf(eventsTopic, subject, event, at, `${platform}/event/${id}`);
  return { message, position: String(id), at };
}

/** Telemetry only, because devices' replies and logs are not forwarded to other systems. */
function telemetryItem({ entry, position }: PlacedEntry, platform: string): Item {
  const { at, device, channel, repeat } = entry;
  const wanted = channel === 'telemetry' && !repeat;
  const message = wanted
    ? messageOf(telemetryTopic, device, entry, at, `${platform}/telemetry/${position}`)
    : null;
  return { message, position, at };
}

/** A message that is sent twice has the same id, so JetStream drops the duplicate, and Kafka consumers can drop it. */
function messageOf(topic: string, key: string, value: object, time: number, id: string): OutgoingMessage {
  const headers: Header[] = [
    ['content-type', 'application/json'],
    [dedupeHeader, id],
    ['Nats-Msg-Id', id],
  ];
  return { topic, key: Buffer.from(key), payload: Buffer.from(JSON.stringify(value)), time, headers };
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { PlatformEvent } from '../../registry/events/api.js';
import type { RelayStatus } from '../../registry/relay-api.js';
import { dedupeHeader, type Header, type OutgoingMessage, type Sink } from '../../stream/message.js';
import { openAdmin, openSink } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { JournalReader, PlacedEntry } from '../journal/telemetry.js';
import type { Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import { type EventFeed, extentOf } from './events.js';

interface RelayParts {
  /** kafka://… or nats://… */
  url: string;
  store: Store;
  feed: EventFeed;
  journal: JournalReader;
  /** What tells this platform from others. */
  platform: string;
  log: Logger;
  open?: typeof openSink;
}

interface RelayFigures {
  /** Without credentials. */
  endpoint: string;
  state: 'waiting' | 'connected' | 'disconnected';
  /** The code of what keeps it from sending. */
  error: string | null;
  events: LaneFigures;
  telemetry: LaneFigures;
}

const connectTimeoutMs = 5000;
const [firstPauseMs, longestPauseMs] = [250, 5000];

/** What is on its way at the end is waited for so long, ms: sent again later it does no harm. */
const farewellMs = 700;

/** JetStream's stream for both topics, where no other keeps them. */
const streamName = 'AIOT';

/**
 * Sends telemetry and events on to Kafka or NATS JetStream, at least once and in order for each device and subject. Both are read
 * from where they are kept: a far side that is away holds nothing up, and nothing waits for it in memory.
 */
export class Relay implements Worker {
  readonly name = 'relay';
  readonly figures: RelayFigures;
  private readonly lanes: { events: Lane; telemetry: Lane };
  private readonly sinkUrl: string;

  /** @throws AIOT_USAGE for what is neither Kafka nor NATS, AIOT_STREAM_URL */
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
      log.error({ err, id }, 'a message is refused and passed over');
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

  /** Id up to which events are known to be there; 0 = none is. */
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
    for (let pauseMs = firstPauseMs; !signal.aborted; ) {
      const sentBefore = this.sent;
      try {
        await this.connect(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.lost(error);
        if (this.sent > sentBefore) pauseMs = firstPauseMs;
        await delay(pauseMs, undefined, { signal }).catch(() => {});
        pauseMs = Math.min(longestPauseMs, pauseMs * 2);
      } finally {
        this.figures.state = signal.aborted ? 'waiting' : this.figures.state;
      }
    }
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
      if (this.figures.error !== null) log.info({ endpoint: sink.endpoint }, 'events go on to it again');
      this.figures.state = 'connected';
      this.figures.error = null;
      // What ends the one ends the other: both begin anew from where they are known to stand.
      const lanes = Object.values(this.lanes).map((lane) =>
        lane.run(sink, both).finally(() => ending.abort()),
      );
      const done = Promise.allSettled(lanes);
      await Promise.race([done, farewell(signal)]);
      if (signal.aborted) return;
      // Not before the last write has ended: what it sends must not come behind what is sent after it.
      const failure = (await done).find((end) => end.status === 'rejected');
      if (failure) throw failure.reason;
    } finally {
      await closed(sink);
    }
  }

  /** Where the far side makes none by itself. One that cannot be made may be there, or somebody else keeps it. */
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
    if (this.figures.error !== code) this.parts.log.error({ err: error }, 'events cannot be sent on');
    this.figures.state = 'disconnected';
    this.figures.error = code;
  }
}

/** Resolves a moment after the signal ends. */
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
  /** Messages that the far side will never take, such as one that is too large: told in the log, and passed over. */
  refused: number;
  /** When the oldest that is not sent yet came to be, ms since 1970; null = nothing waits. */
  waitingSince: number | null;
}

interface LaneOptions {
  /** Behind a position, in order, and then those to come. */
  source: (position: string | null, signal: AbortSignal) => AsyncIterable<readonly Item[]>;
  cursor: Cursor;
  onRefused: (error: unknown, id: string) => void;
}

/** One write at most: so much waits in memory, and no more. */
const mostMessages = 1000;

const mostBytes = 2 * 1024 * 1024;

/** Between two saves of the cursor, ms: what was sent since is sent again after a crash. */
const saveEveryMs = 500;

/** Sends one log on, in its order: the next write begins when the far side has the one before. */
class Lane {
  readonly figures: LaneFigures = { sent: 0, refused: 0, waitingSince: null };

  constructor(private readonly options: LaneOptions) {}

  /** Until the signal ends. @throws what the sink throws, except for messages that it will never take */
  async run(sink: Sink, signal: AbortSignal): Promise<void> {
    const { source, cursor } = this.options;
    const start = await cursor.read();
    let [saved, position] = [start, start];
    const save = async () => {
      if (position === null || position === saved) return;
      saved = position;
      await cursor.save(position);
    };
    // What could not be saved now is with the next one.
    const saving = setInterval(() => void save().catch(() => {}), saveEveryMs);
    try {
      for await (const items of source(start, signal)) {
        for (const part of partsOf(items)) {
          this.figures.waitingSince = part[0]?.at ?? null;
          await this.send(sink, part);
          position = part.at(-1)?.position ?? position;
          if (signal.aborted) return;
        }
        this.figures.waitingSince = null;
      }
    } finally {
      clearInterval(saving);
      await save().catch(() => {});
    }
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

  /** Of many, one is not taken: the others are, though some of them twice. */
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

/** Where a lane stands with one far side: kept with the state. */
interface Cursor {
  /** null = it has never been sent anything. */
  read(): Promise<string | null>;
  save(position: string): Promise<void>;
}

/** @param endpoint of the far side, without credentials: another one begins anew */
function cursorIn(store: Store, endpoint: string, lane: string): Cursor {
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

/** One thing to send on, and where the lane stands behind it. `message` is null for what is not sent. */
interface Item {
  message: OutgoingMessage | null;
  position: string;
  /** When it came to be, ms since 1970. */
  at: number;
}

/** `platform`: what tells this platform's messages from those of another in the same topic. */
function eventItem(event: PlatformEvent, platform: string): Item {
  const { id, at, subject } = event;
  const message = messageOf(eventsTopic, subject, event, at, `${platform}/event/${id}`);
  return { message, position: String(id), at };
}

/** Telemetry alone: what devices answer and log is not meant for others. */
function telemetryItem({ entry, position }: PlacedEntry, platform: string): Item {
  const { at, device, channel, repeat } = entry;
  const wanted = channel === 'telemetry' && !repeat;
  const message = wanted
    ? messageOf(telemetryTopic, device, entry, at, `${platform}/telemetry/${position}`)
    : null;
  return { message, position, at };
}

/** Sent twice, it has the same id twice: JetStream leaves the second out, and readers of Kafka can. */
function messageOf(topic: string, key: string, value: object, time: number, id: string): OutgoingMessage {
  const headers: Header[] = [
    ['content-type', 'application/json'],
    [dedupeHeader, id],
    ['Nats-Msg-Id', id],
  ];
  return { topic, key: Buffer.from(key), payload: Buffer.from(JSON.stringify(value)), time, headers };
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError, onAbort } from '../../../core/index.js';
import type { RelayStatus } from '../../../registry/index.js';
import { openAdmin, openSink, parseStreamUrl, type Sink } from '../../../stream/index.js';
import type { JournalReader } from '../../journal/reader.js';
import type { Store } from '../../store/database.js';
import type { Worker } from '../../workers/index.js';
import type { EventFeed } from '../feed.js';
import { extentOf } from '../read.js';
import { cursorIn } from './cursor.js';
import { Lane, type LaneFigures } from './lane.js';
import { eventItem, eventsTopic, type Item, telemetryItem, telemetryTopic } from './messages.js';

export interface RelayParts {
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

export interface RelayFigures {
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

import type { ServerResponse } from 'node:http';
import { onAbort } from '../../core/index.js';
import type { EventFilter, PlatformEvent } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Changes } from '../store/engine.js';
import { eventsAfter, eventsGone, extentOf, wants } from './events.js';

/** Newest events that are kept in memory for those who listen. */
const remembered = 4096;

/** Events of one read of the database. */
const batch = 1000;

/** How soon events are seen of which nobody has told, ms. */
const lookEveryMs = 500;

/** Events, and the id up to which the log was looked at for them. */
interface Page {
  events: PlatformEvent[];
  last: number;
}

/**
 * The log as it grows. One reader of the database serves all who listen: what is new is read once and kept for a while; who is far
 * behind reads pages of their own. Nothing is read while nobody listens.
 */
export class EventFeed {
  private readonly listeners = new Set<() => void>();
  /** The newest events, rising, and all there are behind `from`. */
  private ring: PlatformEvent[] = [];
  private from: number | null = null;
  private tail = 0;
  private reading: Promise<void> | undefined;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private quiet: (() => void) | undefined;

  constructor(
    private readonly store: Store,
    private readonly changes: Changes,
  ) {}

  /** Something was recorded, in a transaction that may not have ended yet. */
  readonly poke = (): void => {
    if (this.listeners.size > 0) setImmediate(() => void this.read());
  };

  /**
   * Pages from an id on, as long as the signal lasts: what is there, and what comes. Pages may be empty where a filter lets nothing
   * by. @throws AIOT_EVENTS_GONE when what is to be read next was deleted
   */
  async *follow(after: number, signal: AbortSignal, filter: EventFilter = {}): AsyncGenerator<Page> {
    const isWanted = wants(filter);
    let news = true;
    let wake = () => {};
    const stop = this.listen(() => {
      news = true;
      wake();
    });
    const aborted = () => wake();
    const leave = onAbort(signal, aborted);
    try {
      for (let position = after; !signal.aborted; ) {
        if (!news) {
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (signal.aborted || news) resolve();
          });
        }
        if (signal.aborted) return;
        news = false;
        for (;;) {
          const page = await this.page(position, filter, isWanted);
          const more = page.last > position;
          position = page.last;
          if (more) yield page;
          if (!more || signal.aborted) break;
        }
      }
    } finally {
      leave();
      stop();
    }
  }

  close(): void {
    this.listeners.clear();
    this.rest();
  }

  get listening(): number {
    return this.listeners.size;
  }

  private listen(listener: () => void): () => void {
    this.listeners.add(listener);
    if (this.timer === undefined) {
      this.timer = setInterval(() => void this.read(), lookEveryMs);
      this.timer.unref();
      this.quiet = this.changes.on('events', () => void this.read());
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.rest();
    };
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.quiet?.();
    this.quiet = undefined;
    this.ring = [];
    this.from = null;
    this.tail = 0;
  }

  /** From memory where it reaches so far, else from the database. */
  private async page(
    after: number,
    filter: EventFilter,
    isWanted: (event: PlatformEvent) => boolean,
  ): Promise<Page> {
    if (this.from !== null && after >= this.from) {
      const events = this.ring.slice(firstBehind(this.ring, after)).filter(isWanted);
      return { events, last: Math.max(after, this.tail) };
    }
    // Looked at before: what comes meanwhile is in the next page.
    const { latest, pruned } = await extentOf(this.store);
    if (after < pruned) throw eventsGone(after, pruned);
    const events = await eventsAfter(this.store, { ...filter, after, limit: batch });
    const full = events.length === batch;
    return { events, last: Math.max(after, full ? 0 : latest, events.at(-1)?.id ?? 0) };
  }

  private async read(): Promise<void> {
    if (this.reading !== undefined) {
      this.again = true;
      return;
    }
    this.reading = this.readOn().finally(() => {
      this.reading = undefined;
    });
    // A database that does not answer now is asked again soon.
    await this.reading.catch(() => {});
  }

  private async readOn(): Promise<void> {
    do {
      this.again = false;
      if (this.from === null) await this.begin();
      const events = await eventsAfter(this.store, { after: this.tail, limit: batch });
      if (this.listeners.size === 0) return;
      if (events.length === 0) continue;
      this.ring.push(...events);
      this.tail = events.at(-1)?.id ?? this.tail;
      if (this.ring.length > 2 * remembered) {
        this.ring = this.ring.slice(-remembered);
        this.from = (this.ring[0]?.id ?? 0) - 1;
      }
      this.again ||= events.length === batch;
      for (const listener of this.listeners) listener();
    } while (this.again);
  }

  private async begin(): Promise<void> {
    const { latest } = await extentOf(this.store);
    // What was recorded between a listener's first page and now is behind this, and must be told.
    this.from = latest;
    this.tail = latest;
    for (const listener of this.listeners) listener();
  }
}

function firstBehind(ring: readonly PlatformEvent[], after: number): number {
  let [low, high] = [0, ring.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ring[middle]?.id ?? 0) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A comment now and then keeps a connection from looking dead, and tells the client how far the log was looked at, ms. */
const heartbeatMs = 15_000;

/** A client that takes nothing for so long is cut off: it comes back and goes on where it stood, ms. */
const drainPatienceMs = 30_000;

/** How soon a client that lost its connection is to come back, ms. */
const retryMs = 2000;

interface StreamOptions extends EventFilter {
  /** Id behind which it begins. */
  after: number;
  /** End after so many. */
  limit?: number | undefined;
}

/**
 * Server-sent events of the log, as long as the client takes them (HTML standard, 9.2). Nothing is held for a client that is slow:
 * what it has not taken is read again when it does.
 */
export async function streamEvents(
  feed: EventFeed,
  { after, limit = Number.POSITIVE_INFINITY, ...filter }: StreamOptions,
  response: ServerResponse,
): Promise<void> {
  const ended = new AbortController();
  response.on('close', () => ended.abort());
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  let position = after;
  let left = limit;
  // The place is told before anything has happened: who is cut off at once begins there again.
  response.write(`retry: ${retryMs}\nid: ${position}\n\n`);
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(`: still here\nid: ${position}\n\n`);
  }, heartbeatMs);
  try {
    for await (const { events, last } of feed.follow(after, ended.signal, filter)) {
      for (const event of events) {
        if (!response.write(frameOf(event)) && !(await drained(response, ended.signal))) return;
        position = event.id;
        if (--left <= 0) return;
      }
      position = last;
    }
  } finally {
    clearInterval(beat);
    response.end();
    // One that takes nothing would never see the end.
    if (response.writableNeedDrain) response.destroy();
  }
}

/** Made once, however many listen. */
const frames = new WeakMap<PlatformEvent, string>();

function frameOf(event: PlatformEvent): string {
  const frame = frames.get(event) ?? `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
  frames.set(event, frame);
  return frame;
}

/** Whether the client takes more within its time. */
function drained(response: ServerResponse, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (taken: boolean) => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      leave();
      resolve(taken);
    };
    const onDrain = () => end(true);
    const timer = setTimeout(() => end(false), drainPatienceMs);
    response.on('drain', onDrain);
    const leave = onAbort(signal, () => end(false));
  });
}

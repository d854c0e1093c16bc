import { onAbort } from '../../core/index.js';
import type { EventFilter, PlatformEvent } from '../../registry/index.js';
import type { Changes } from '../store/changes.js';
import type { Store } from '../store/database.js';
import { wants } from './filter.js';
import { eventsAfter, eventsGone, extentOf } from './read.js';

/** Newest events that are kept in memory for those who listen. */
const remembered = 4096;
/** Events of one read of the database. */
const batch = 1000;
/** How soon events are seen of which nobody has told, ms. */
const patienceMs = 500;

/** Events, and the id up to which the log was looked at for them. */
export interface Page {
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
      this.timer = setInterval(() => void this.read(), patienceMs);
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

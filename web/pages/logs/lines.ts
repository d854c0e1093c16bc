import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { LogLine } from '../../../src/lib/api/index.js';
import { overtakingMs, ShownLines } from '../../../src/lib/api/shown-lines.js';
import { ApiError, at, get } from '../../app/api.js';
import { connected, onLogs } from '../../app/live.js';
import { type Search, startOf } from './filter.js';

/** Maximum number of lines stored in the page. The platform has the rest. */
export const most = 5000;
/** Number of lines that are read at once. */
const pageLimit = 500;
/** Number of requests for each page of lines. A request ends early if few lines match. */
const mostRequests = 5;
/** Lines within this time are drawn together, ms. */
const settleMs = 200;
/** Delay before lines that arrived too fast are read, ms, for each page that the previous such read had. */
const catchUpMs = 1500;

/** A log line, with a number that identifies it in this page. */
export type NumberedLine = LogLine & { number: number };

export interface Lines {
  /** The lines, newest first and without gaps; undefined = not loaded yet. */
  lines: readonly NumberedLine[] | undefined;
  state: 'live' | 'connecting' | 'interrupted' | 'past';
  error: ApiError | undefined;
  earlier: { load: () => void; isLoading: boolean };
  /** Whether all lines of the time range are loaded, back to its beginning. */
  toEnd: boolean;
}

/** Reads the newest lines of a search, and adds new ones as they arrive, each once. */
export function useLines(search: Search): Lines {
  const lines = useSignal<readonly NumberedLine[] | undefined>(undefined);
  const next = useSignal<string | null>(null);
  const begun = useSignal(false);
  const isLoading = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const load = useRef(() => {});
  useEffect(() => {
    const reader = new Reader(search, {
      show: (shown, cursor) => {
        lines.value = shown;
        next.value = cursor;
        error.value = undefined;
      },
      fail: (reason) => {
        error.value = reason;
      },
      loading: (is) => {
        isLoading.value = is;
      },
      begun: (is) => {
        begun.value = is;
      },
    });
    lines.value = undefined;
    next.value = null;
    error.value = undefined;
    load.current = () => reader.earlier();
    reader.start();
    return () => reader.stop();
  }, [search.key]);
  const state =
    search.until !== undefined
      ? 'past'
      : begun.value
        ? 'live'
        : connected.value
          ? 'connecting'
          : 'interrupted';
  return {
    ...{ lines: lines.value, state, error: error.value, toEnd: next.value === null },
    earlier: { load: () => load.current(), isLoading: isLoading.value },
  };
}

interface Shows {
  show: (lines: readonly NumberedLine[], next: string | null) => void;
  fail: (error: ApiError) => void;
  loading: (is: boolean) => void;
  begun: (is: boolean) => void;
}

class Reader {
  private readonly ending = new AbortController();
  private readonly query;
  private known = new ShownLines();
  private lines: readonly NumberedLine[] = [];
  /** Where earlier lines continue; null = there are none; undefined = nothing was read yet. */
  private next: string | null | undefined;
  private arrived: LogLine[] = [];
  private number = 0;
  private isCatchingUp = false;
  /** Number of pages that the last read of the newest lines had. */
  private pages = 1;
  private timers = new Map<'show' | 'catchUp', ReturnType<typeof setTimeout>>();
  private reading: Promise<void> = Promise.resolve();
  private ends: (() => void)[] = [];

  constructor(
    private readonly search: Search,
    private readonly shows: Shows,
  ) {
    const { selector, level, contains } = search;
    this.query = { level, selector: selector || undefined, contains: contains || undefined };
  }

  start(): void {
    this.queue(() => this.catchUp());
    if (this.search.until !== undefined) return;
    const follow = onLogs(this.query, {
      line: (line) => {
        this.arrived.push(line);
        this.later('show', settleMs, () => this.add());
      },
      missed: () => this.later('catchUp', catchUpMs * this.pages, () => this.queue(() => this.catchUp())),
      // Lines before this moment are stored, and those after it arrive.
      open: () => {
        this.shows.begun(true);
        this.queue(() => this.catchUp());
      },
      refused: ({ code, detail, next }) => this.shows.fail(new ApiError(code, detail, next)),
    });
    const watch = connected.subscribe((is) => is || this.shows.begun(false));
    this.ends = [follow, watch];
  }

  stop(): void {
    this.ending.abort();
    this.shows.begun(false);
    for (const end of this.ends) end();
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  /** Adds a page of earlier lines at the end. */
  earlier(): void {
    this.queue(async () => {
      if (typeof this.next !== 'string') return;
      const page = await this.read(startOf(this.search), this.next);
      this.next = page.next;
      this.lines = [...this.lines, ...page.lines.map((line) => this.numbered(line))];
      this.show();
    });
  }

  /** Runs one read at a time. */
  private queue(read: () => Promise<void>): void {
    const { signal } = this.ending;
    this.reading = this.reading
      .then(() => {
        if (signal.aborted) return;
        this.shows.loading(true);
        return read();
      })
      .catch((reason: ApiError) => {
        if (!signal.aborted) this.shows.fail(reason);
      })
      .finally(() => {
        if (!signal.aborted) this.shows.loading(false);
      });
  }

  /**
   * Reads the newest lines. If they do not reach the known ones, they replace them, so that the list has no gaps. It reads as many as are
   * shown, so that a list does not become shorter while an operator reads it.
   */
  private async catchUp(): Promise<void> {
    const isFirst = this.next === undefined;
    this.isCatchingUp = true;
    const from = isFirst
      ? startOf(this.search)
      : Math.max(startOf(this.search), this.known.newest - overtakingMs);
    this.pages = Math.max(1, Math.ceil(this.lines.length / pageLimit));
    const page = await this.read(from, undefined, this.pages).finally(() => {
      this.isCatchingUp = false;
    });
    if (!isFirst && page.next !== null) this.known = new ShownLines();
    const fresh = this.known.caughtUp([...page.lines].reverse()).map((line) => this.numbered(line));
    if (isFirst || page.next !== null) {
      this.lines = fresh.reverse();
      this.next = page.next;
    } else {
      this.lines = sorted(fresh, this.lines);
    }
    this.add();
    this.show();
  }

  private async read(
    since: number,
    after?: string,
    pages = 1,
  ): Promise<{ lines: LogLine[]; next: string | null }> {
    const lines: LogLine[] = [];
    let next: string | null = after ?? null;
    for (let i = 0; i < mostRequests * pages; i++) {
      const query = { ...this.query, since, until: this.search.until, after: next ?? undefined };
      const limit = Math.min(pageLimit, pages * pageLimit - lines.length);
      const page = await get(at('GET /logs', {}, { ...query, limit }), this.ending.signal);
      lines.push(...page.lines);
      next = page.next;
      if (next === null || lines.length >= pages * pageLimit) break;
    }
    return { lines, next };
  }

  /** Adds the lines that have arrived. During a read of the newest lines, they wait, because it may contain them. */
  private add(): void {
    if (this.isCatchingUp || this.next === undefined || this.arrived.length === 0) return;
    const fresh = this.arrived.filter((line) => this.known.arrived(line)).map((line) => this.numbered(line));
    this.arrived = [];
    this.lines = sorted(fresh, this.lines);
    this.show();
  }

  private show(): void {
    // The page offers to show the lines before these by their time, because the cursor belongs to lines that are not shown.
    if (this.lines.length > most) this.lines = this.lines.slice(0, most);
    this.shows.show(this.lines, this.next ?? null);
  }

  private numbered(line: LogLine): NumberedLine {
    return { ...line, number: ++this.number };
  }

  private later(name: 'show' | 'catchUp', ms: number, work: () => void): void {
    if (this.timers.has(name)) return;
    const timer = setTimeout(() => {
      this.timers.delete(name);
      work();
    }, ms);
    this.timers.set(name, timer);
  }
}

/** Both lists together, newest first. Fresh lines are in order of arrival. */
function sorted(fresh: readonly NumberedLine[], known: readonly NumberedLine[]): readonly NumberedLine[] {
  return [...[...fresh].reverse(), ...known].sort((a, b) => b.at - a.at);
}

import { AiotError } from '../core/errors.js';
import { backOffMs, systemClock } from '../core/time.js';
import { callsOf } from './contract/calls.js';
import { contract } from './contract/contract.js';
import { type LogFollow, type LogLine, logNewsSchema } from './contract/devices.js';
import { pathOf, queryOf } from './contract/endpoint.js';
import { errorOfTransport } from './errors.js';
import { eventData, longestPauseMs, type Reconnecting, silenceMs } from './streams.js';
import type { Transport } from './transport.js';

export interface FollowLogs extends LogFollow, Reconnecting {
  /** Earliest arrival time of stored lines to begin with, ms since 1970. */
  since: number;
  /** Maximum number of stored lines to begin with; the newest ones are shown. */
  newest: number;
}

/** How much later a line may be stored than one that arrived after it, ms. Lines of this time are compared with those already shown. */
const overtakingMs = 60_000;
const pageLimit = 1000;
/** Maximum number of stored lines read after an interruption; of more, the newest. */
const mostCaughtUp = 100_000;

/**
 * Yields stored log lines, and then new ones. After a lost connection, and after lines that this client was too slow to receive, it reads
 * the stored lines first, so that each line is yielded exactly once. Of more than 100,000 lines after an interruption, it yields the newest.
 * @throws errors that no retry fixes; after `retries` attempts, AIOT_PLATFORM_UNREACHABLE
 */
export async function* followLogs(transport: Transport, options: FollowLogs): AsyncGenerator<LogLine> {
  const { selector, level, contains, since, newest, signal, onState, clock = systemClock } = options;
  const { retries = Number.POSITIVE_INFINITY } = options;
  const search = { selector, level, contains };
  const { logs } = callsOf(transport, contract.talk);
  const shown = new ShownLines();
  /** Stored lines that were not shown yet, oldest first. */
  const stored = async (from: number, limit: number) => {
    const lines: LogLine[] = [];
    for (let after: string | undefined; lines.length < limit; ) {
      const page = await logs({
        ...{ ...search, since: from, after },
        limit: Math.min(pageLimit, limit - lines.length),
      });
      lines.push(...page.lines);
      if (page.next === null) break;
      after = page.next;
    }
    return shown.caughtUp(lines.reverse());
  };
  let isFirst = true;
  for (let broken = 0; ; ) {
    try {
      const answer = await transport.call('GET', `${pathOf(contract.talk.follow, [])}${queryOf(search)}`, {
        headers: { accept: 'text/event-stream' },
        bodyTimeoutMs: silenceMs,
        ...(signal ? { signal } : {}),
      });
      for await (const data of eventData(answer.body)) {
        const news = logNewsSchema.parse(JSON.parse(data));
        if ('line' in news) {
          if (shown.arrived(news.line)) yield news.line;
          continue;
        }
        // Lines that arrive during the search are sent as well, and wait in the connection.
        const found = isFirst
          ? await stored(since, newest)
          : await stored(Math.max(since, shown.newest - overtakingMs), mostCaughtUp);
        yield* found;
        if (broken > 0) onState?.('connected');
        broken = 0;
        isFirst = false;
      }
      throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform closed the stream of log lines', {
        endpoint: transport.url,
        retryable: true,
      });
    } catch (error) {
      signal?.throwIfAborted();
      const told = errorOfTransport(error, transport.url);
      if (!told.retryable || broken >= retries) throw told;
      if (broken === 0) onState?.('disconnected');
      broken++;
      await clock.sleep(backOffMs(broken, 500, longestPauseMs), signal);
    }
  }
}

/** How often a line was shown, and how often it may still arrive as a new line although it was shown. */
interface Shown {
  at: number;
  times: number;
  awaited: number;
}

/**
 * The lines that were shown recently. A search and the connection may both contain a line. Lines have no ids, and a device may log the same
 * text twice in a millisecond, so equal lines are counted.
 */
class ShownLines {
  /** Arrival time of the newest line, ms since 1970. */
  newest = 0;
  private readonly lines = new Map<string, Shown>();

  /** Those of the stored lines that were not shown yet. */
  caughtUp(stored: readonly LogLine[]): LogLine[] {
    const found = new Map<string, number>();
    return stored.filter((line) => {
      const text = JSON.stringify(line);
      const nth = (found.get(text) ?? 0) + 1;
      found.set(text, nth);
      const shown = this.of(text, line.at);
      if (nth <= shown.times) return false;
      shown.times++;
      shown.awaited++;
      return true;
    });
  }

  /** Whether a line that has arrived was not shown yet. */
  arrived(line: LogLine): boolean {
    const shown = this.of(JSON.stringify(line), line.at);
    if (shown.awaited > 0) {
      shown.awaited--;
      return false;
    }
    shown.times++;
    return true;
  }

  private of(text: string, at: number): Shown {
    const known = this.lines.get(text);
    if (known) return known;
    const shown = { at, times: 0, awaited: 0 };
    this.lines.set(text, shown);
    this.newest = Math.max(this.newest, at);
    for (const [old, { at: when }] of this.lines) {
      if (when >= this.newest - 2 * overtakingMs) break;
      this.lines.delete(old);
    }
    return shown;
  }
}

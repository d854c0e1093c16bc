import { AiotError } from '../core/errors.js';
import { backOffMs, systemClock } from '../core/time.js';
import { callsOf } from './contract/calls.js';
import { contract } from './contract/contract.js';
import { type LogFollow, type LogLine, logNewsSchema } from './contract/devices.js';
import { pathOf, queryOf } from './contract/endpoint.js';
import { errorOfTransport } from './errors.js';
import { overtakingMs, ShownLines } from './shown-lines.js';
import { eventData, longestPauseMs, type Reconnecting, silenceMs } from './streams.js';
import type { Transport } from './transport.js';

export interface FollowLogs extends LogFollow, Reconnecting {
  /** Earliest arrival time of stored lines to begin with, ms since 1970. */
  since: number;
  /** Maximum number of stored lines to begin with; the newest ones are shown. */
  newest: number;
}

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

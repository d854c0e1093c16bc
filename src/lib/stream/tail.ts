import { AiotError } from '../core/index.js';
import type { Message } from './message.js';
import { openSource } from './open.js';
import type { StreamOptions } from './options.js';

export interface TailOptions extends StreamOptions {
  url: string;
  /** Ends after so many messages. */
  count?: number;
  /** Ends after this time, ms. */
  forMs?: number;
  /** Fails after this time, ms, when `count` was not reached. */
  timeoutMs?: number;
  /** From now on no message is missed. */
  onOpen?: (endpoint: string) => void;
  signal?: AbortSignal;
}

export interface TailEnd {
  messages: number;
  /** Messages thrown away because they came faster than they were taken. */
  dropped: number;
  /** Why it ended; `source` = there is no more. */
  ended: 'count' | 'for' | 'source';
}

/**
 * Follows a source: `onMessage` is called for each message, and never again once this has resolved.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED (both say how many came), and what opening the source throws
 */
export async function tail(options: TailOptions, onMessage: (message: Message) => void): Promise<TailEnd> {
  const { count = Number.POSITIVE_INFINITY, forMs, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const source = await openSource(options.url, options);
  options.onOpen?.(source.endpoint);
  let messages = 0;
  let ended: 'count' | 'for' | 'source' | 'timeout' | 'interrupted' = 'source';
  let closing: Promise<void> | undefined;
  const end = (why: typeof ended) => {
    if (closing !== undefined) return;
    ended = why;
    closing = source.close();
  };
  const timers = [
    ...(forMs === undefined ? [] : [setTimeout(() => end('for'), forMs)]),
    ...(timeoutMs === undefined ? [] : [setTimeout(() => end('timeout'), timeoutMs)]),
  ];
  const interrupt = () => end('interrupted');
  signal?.addEventListener('abort', interrupt);
  if (signal?.aborted) interrupt();
  try {
    for await (const batch of source) {
      for (const delivery of batch) {
        if (closing !== undefined) break;
        messages++;
        onMessage(delivery.message);
        delivery.ack();
        if (messages >= count) end('count');
      }
      if (closing !== undefined) break;
    }
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener('abort', interrupt);
    await (closing ?? source.close());
  }
  return conclude(ended, messages, source.dropped, options);
}

function conclude(ended: string, messages: number, dropped: number, options: TailOptions): TailEnd {
  const came = `${messages} message${messages === 1 ? '' : 's'}`;
  if (ended === 'interrupted') throw new AiotError('AIOT_INTERRUPTED', `stopped after ${came}`);
  if (ended === 'timeout' && options.count !== undefined) {
    throw new AiotError(
      'AIOT_TIMEOUT',
      `expected ${options.count} messages within ${options.timeoutMs} ms, got ${messages}`,
    );
  }
  if (ended === 'timeout') throw new AiotError('AIOT_TIMEOUT', `the time was over after ${came}`);
  return { messages, dropped, ended: ended as TailEnd['ended'] };
}

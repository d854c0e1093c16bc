import { setTimeout as delay } from 'node:timers/promises';
import { type AiotError, hasCode } from '../../core/errors.js';
import { backOffMs, withJitter } from '../../core/time.js';
import type { OutgoingMessage, Sink } from '../message.js';

interface EachOptions {
  endpoint: string;
  /** Resolves once the destination has received this message. */
  send(message: OutgoingMessage, signal: AbortSignal): Promise<void>;
  /**
   * Returns the message's group. Messages in one group are sent one at a time; absent = all messages form one group.
   */
  groupOf?(message: OutgoingMessage): string;
  /** Number of groups sent concurrently; default 1. */
  parallel?: number;
  signal?: AbortSignal;
  close?(): Promise<void>;
}

/**
 * Creates a sink for destinations that accept one message at a time. If a message fails, the sink waits for the
 * messages in flight and sends no others. The sink remembers delivered messages, so that writing the same objects again
 * does not send them twice.
 */
export function createEachSink(options: EachOptions): Sink {
  const { endpoint, send, groupOf = () => '', parallel = 1 } = options;
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  const arrived = new WeakSet<OutgoingMessage>();
  let last: Promise<void> = Promise.resolve();

  const writeNow = async (messages: readonly OutgoingMessage[]) => {
    const groups = new Map<string, OutgoingMessage[]>();
    for (const message of messages) {
      if (arrived.has(message)) continue;
      const group = groupOf(message);
      const others = groups.get(group);
      if (others) others.push(message);
      else groups.set(group, [message]);
    }
    const sent: OutgoingMessage[] = [];
    let failure: { error: unknown } | undefined;
    const queue = [...groups.values()];
    const work = async () => {
      for (let group = queue.shift(); group && !failure; group = queue.shift()) {
        for (const message of group) {
          if (failure) return;
          try {
            await send(message, signal);
            sent.push(message);
          } catch (error) {
            failure ??= { error };
          }
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, queue.length) }, work));
    if (failure) {
      for (const message of sent) arrived.add(message);
      throw failure.error;
    }
    // The caller may write the same object again as a new message.
    for (const message of messages) arrived.delete(message);
  };

  return {
    endpoint,
    write(messages) {
      const written = last.then(() => writeNow(messages));
      last = written.catch(() => {});
      return written;
    },
    async close() {
      await last;
      ending.abort();
      await options.close?.();
    },
  };
}

/** The result of an attempt, or its error and the time that the destination asked us to wait, ms. */
export type Attempt<T> = { value: T } | { error: AiotError; retryAfterMs?: number };

const attempts = 5;
const firstDelayMs = 200;

/** Maximum delay between attempts, ms. Longer waits are left to the route, which retries indefinitely. */
const longestDelayMs = 60_000;

/**
 * Tries up to five times within a few seconds. The delay doubles each time, and a quarter of it is random, so that
 * clients that were disconnected at the same time do not return at the same time. Errors that are not retryable are not
 * retried.
 * @throws the error of the last attempt
 */
export async function withRetries<T>(
  attempt: () => Promise<Attempt<T>>,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    const result = await attempt();
    if ('value' in result) return result.value;
    // Not retried, because rejected credentials would be rejected again.
    const hopeless = !result.error.retryable || hasCode(result.error, 'AIOT_BROKER_REFUSED');
    if (hopeless || failures >= attempts || signal?.aborted) throw result.error;
    const own = withJitter(backOffMs(failures, firstDelayMs));
    const wanted = Math.min(longestDelayMs, Math.max(own, result.retryAfterMs ?? 0));
    await delay(wanted, undefined, signal ? { signal } : {}).catch(() => {
      throw result.error;
    });
  }
}

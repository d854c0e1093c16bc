import type { OutgoingMessage, Sink } from '../message.js';

export interface EachOptions {
  endpoint: string;
  /** Resolves when the far side has this message. */
  send(message: OutgoingMessage, signal: AbortSignal): Promise<void>;
  /** Messages of one lane go one after the other; absent = all of them. */
  laneOf?(message: OutgoingMessage): string;
  /** Lanes under way at a time; default 1. */
  parallel?: number;
  signal?: AbortSignal;
  close?(): Promise<void>;
}

/**
 * A sink for far sides that take one message at a time. When one of a write fails, what is under way is waited for, the rest is
 * not sent, and those that have arrived are remembered: written again, as the same objects, they are not sent twice.
 */
export function createEachSink(options: EachOptions): Sink {
  const { endpoint, send, laneOf = () => '', parallel = 1 } = options;
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  const arrived = new WeakSet<OutgoingMessage>();
  let last: Promise<void> = Promise.resolve();

  const writeNow = async (messages: readonly OutgoingMessage[]) => {
    const lanes = new Map<string, OutgoingMessage[]>();
    for (const message of messages) {
      if (arrived.has(message)) continue;
      const lane = laneOf(message);
      const others = lanes.get(lane);
      if (others) others.push(message);
      else lanes.set(lane, [message]);
    }
    const sent: OutgoingMessage[] = [];
    let failure: { error: unknown } | undefined;
    const queue = [...lanes.values()];
    const work = async () => {
      for (let lane = queue.shift(); lane && !failure; lane = queue.shift()) {
        for (const message of lane) {
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
    // A caller may mean the same object once more.
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

import { AiotError, onAbort } from '../../core/index.js';
import type { Delivery, Payloads } from '../message.js';
import { openSource } from '../open.js';
import { type Ending, endOf } from './ending.js';
import { mergeByTime } from './merge.js';
import { linesOf } from './payloads.js';
import { createSelector, type Selector } from './select.js';
import type { Shown, TailEnd, TailOptions } from './types.js';
import { createWatch, type Watch } from './watch.js';

/**
 * Follows sources: `show` gets the messages in batches, and is waited for, and never called again once this has resolved. A
 * message is acknowledged after it was shown. With `showLines`, which is for those who want nothing but the payloads, each followed
 * by a line feed, a source that has a short way to them takes it, and that gets them instead.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED (both say how many came), AIOT_STREAM_EXPECTED, AIOT_STREAM_NEVER, AIOT_STREAM_EXPRESSION,
 *   AIOT_USAGE, and what opening a source throws
 */
export async function tail(
  options: TailOptions,
  show: (batch: readonly Shown[]) => void | Promise<void>,
  showLines?: (lines: Uint8Array) => void | Promise<void>,
): Promise<TailEnd> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  // What is wrong with an expression or a schema is said before anything is connected.
  const selector = await createSelector(options);
  const watch = createWatch(options, selector);
  const source = mergeByTime(await openAll(options));
  options.onOpen?.(source.endpoint);
  const ending = endingOf(options, () => source.close());
  const state = { messages: 0, seen: 0 };
  const ticking =
    onProgress && setInterval(() => onProgress({ seen: state.seen, dropped: source.dropped }), 1000);
  try {
    const work = { options, selector, watch, ending, state };
    const payloads = showLines && !watch && selector.payloads && source.payloads?.();
    if (payloads) await showPayloads(payloads, work, showLines);
    else
      for await (const batch of source) {
        if (ending.why !== undefined) break;
        await showBatch(batch, work, show);
        if (ending.why !== undefined) break;
      }
  } finally {
    clearInterval(ticking);
    ending.clear();
    await (ending.closing ?? source.close());
  }
  const { failed, first } = selector;
  const end = { ...state, dropped: source.dropped, failed, ...(first === undefined ? {} : { first }) };
  return endOf(ending.why ?? 'source', end, options, watch, show);
}

interface Work {
  options: TailOptions;
  selector: Selector;
  watch: Watch | undefined;
  ending: Ending;
  state: { messages: number; seen: number };
}

async function showPayloads(
  source: AsyncIterable<Payloads>,
  { options, selector, ending, state }: Work,
  show: (lines: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const count = options.count ?? Number.POSITIVE_INFINITY;
  let writing: void | Promise<void> = Promise.resolve();
  for await (const payloads of source) {
    if (ending.why !== undefined) break;
    const looked = selector.payloads!(payloads, count - state.messages);
    state.seen += looked instanceof Promise ? await looked : looked;
    // The next ones are got ready while these are still being written.
    await writing;
    if (payloads.count > 0) writing = show(linesOf(payloads));
    state.messages += payloads.count;
    if (state.messages >= count) ending.end('count');
    if (ending.why !== undefined) break;
  }
  await writing;
}

async function showBatch(
  batch: readonly Delivery[],
  { options, selector, watch, ending, state }: Work,
  show: (batch: readonly Shown[]) => void | Promise<void>,
): Promise<void> {
  const count = watch?.count ?? options.count ?? Number.POSITIVE_INFINITY;
  const selected = selector.select(batch);
  let chosen = selected instanceof Promise ? await selected : selected;
  if (watch) chosen = await watch.choose(chosen);
  // An interruption while it was waited for.
  if (ending.why !== undefined && chosen.length === 0) return;
  const room = count - state.messages;
  let taken = batch.length;
  if (chosen.length >= room) {
    chosen = chosen.slice(0, room);
    // What came after the last one was not shown: it stays with its source.
    const last = chosen.at(-1)?.message;
    taken = batch.findIndex(({ message }) => message === last) + 1;
  }
  if (chosen.length > 0) {
    const shown = show(chosen);
    if (shown instanceof Promise) await shown;
  }
  state.messages += chosen.length;
  state.seen += taken;
  for (let index = 0; index < taken; index++) batch[index]!.ack();
  if (state.messages >= count) ending.end(watch?.never ? 'never' : 'count');
}

/** @throws what opening any of them throws, after the others are closed */
async function openAll(options: TailOptions) {
  const { urls, withinMs: _, ...rest } = options;
  const opened = await Promise.allSettled(urls.map((url) => openSource(url, rest)));
  const sources = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failure = opened.find((result) => result.status === 'rejected');
  if (!failure && sources.length > 0) return sources;
  await Promise.all(sources.map((source) => source.close()));
  throw failure?.reason ?? new AiotError('AIOT_USAGE', 'expected the URL of a stream, got none');
}

/** Timers and Ctrl-C, each of which ends it once. */
function endingOf({ forMs, timeoutMs, withinMs, signal }: TailOptions, close: () => Promise<void>): Ending {
  const ending: Ending = {
    why: undefined,
    closing: undefined,
    end(why) {
      if (ending.why !== undefined) return;
      ending.why = why;
      ending.closing = close();
      // It is waited for, and may fail, later.
      ending.closing.catch(() => {});
    },
    clear() {
      for (const timer of timers) clearTimeout(timer);
      leave();
    },
  };
  const after = (ms: number | undefined, why: 'for' | 'timeout' | 'within') =>
    ms === undefined ? [] : [setTimeout(() => ending.end(why), ms)];
  const timers = [...after(forMs, 'for'), ...after(timeoutMs, 'timeout'), ...after(withinMs, 'within')];
  const interrupt = () => ending.end('interrupted');
  const leave = onAbort(signal, interrupt);
  return ending;
}

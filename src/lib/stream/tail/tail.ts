import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { onAbort } from '../../core/tasks.js';
import { printablePayload } from '../../core/text.js';
import { formatDuration } from '../../core/time.js';
import { compileExpression } from '../decode/expression.js';
import type { Delivery, Payloads, Source } from '../message.js';
import { openSource } from '../open.js';
import { linesOf } from './payloads.js';
import { createSelector, type Selector, type Shown, type TailEnd, type TailOptions } from './select.js';

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

/** A source that has had nothing for this long is not waited for any more, ms. */
const patienceMs = 200;

interface MergeInput {
  source: Source;
  batches: AsyncIterator<readonly Delivery[]>;
  /** What it gave last, and how much of it has been taken. */
  batch: readonly Delivery[];
  next: number;
  /** Under way while there is nothing of it here. */
  pull: Promise<void> | undefined;
  since: number;
  ended: boolean;
  /** It broke off; told when what it had given before has been taken. */
  failure?: { error: unknown };
}

/**
 * Several sources as one, in the order of their messages' times: a message is given on when no source that has something, or is
 * likely to have soon, can have an older one. Of each source one batch at most is held.
 */
export function mergeByTime(sources: readonly Source[], now: () => number = Date.now): Source {
  const [only] = sources;
  if (only && sources.length === 1) return only;
  return {
    endpoint: sources.map(({ endpoint }) => endpoint).join(', '),
    get dropped() {
      return sources.reduce((sum, { dropped }) => sum + dropped, 0);
    },
    [Symbol.asyncIterator]: () => merged(sources, now),
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

async function* merged(sources: readonly Source[], now: () => number): AsyncGenerator<Delivery[]> {
  const inputs: MergeInput[] = sources.map((source) => ({
    source,
    batches: source[Symbol.asyncIterator](),
    batch: [],
    next: 0,
    pull: undefined,
    since: now(),
    ended: false,
  }));
  for (;;) {
    const empty = inputs.filter((input) => !input.ended && input.next >= input.batch.length);
    for (const { failure } of inputs) if (failure) throw failure.error;
    for (const input of empty) input.pull ??= pull(input, now);
    const full = inputs.filter((input) => input.next < input.batch.length);
    const awaited = empty.filter((input) => now() - input.since < patienceMs);
    if (full.length === 0 && empty.length === 0) return;
    if (full.length === 0) await Promise.race(empty.map((input) => input.pull));
    else if (awaited.length > 0) await firstOf(awaited, now);
    else yield takeOldest(full);
  }
}

/** Resolves when one of them has something, or when the one waited for longest is not waited for any more. */
async function firstOf(awaited: readonly MergeInput[], now: () => number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const left = Math.max(1, Math.min(...awaited.map(({ since }) => since + patienceMs - now())));
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, left);
  });
  await Promise.race([over, ...awaited.map((input) => input.pull)]);
  clearTimeout(timer);
}

/** Never rejects: nobody may be waiting for it when it fails. */
async function pull(input: MergeInput, now: () => number): Promise<void> {
  try {
    const { value, done } = await input.batches.next();
    input.ended = done === true;
    input.batch = done ? [] : value;
  } catch (error) {
    input.ended = true;
    input.failure = { error };
  } finally {
    input.next = 0;
    input.pull = undefined;
    input.since = now();
  }
}

/** All that may go now: until one of the inputs is empty, for its next message may be older than what the others have. */
function takeOldest(full: readonly MergeInput[]): Delivery[] {
  const taken: Delivery[] = [];
  for (;;) {
    let oldest: MergeInput | undefined;
    for (const input of full) {
      if (!oldest || input.batch[input.next]!.message.time < oldest.batch[oldest.next]!.message.time)
        oldest = input;
    }
    if (!oldest) return taken;
    taken.push(oldest.batch[oldest.next]!);
    oldest.next++;
    if (oldest.next < oldest.batch.length) continue;
    oldest.since = Date.now();
    return taken;
  }
}

type Why = 'count' | 'for' | 'source' | 'timeout' | 'within' | 'interrupted' | 'never';

interface Ending {
  why: Why | undefined;
  closing: Promise<void> | undefined;
  end(why: Why): void;
  clear(): void;
}

/** Longest piece of a payload in an error, characters. */
const longestQuote = 200;

/**
 * What it means that it ended so: how it went, or an error. Where an expected message did not come, the last one that did is shown.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED, AIOT_STREAM_EXPECTED, AIOT_STREAM_NEVER
 */
async function endOf(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  watch: Watch | undefined,
  show: (batch: readonly Shown[]) => void | Promise<void>,
): Promise<TailEnd> {
  const came = plural(end.seen, 'message');
  if (why === 'interrupted') throw new AiotError('AIOT_INTERRUPTED', `stopped after ${came}`);
  if (why === 'never')
    throw new AiotError('AIOT_STREAM_NEVER', `a message came with ${watch?.text}, after ${came}`);
  if (watch && !watch.never && why !== 'count') throw await unmet(why, end, options, watch, show);
  if (why === 'timeout' && options.count !== undefined) {
    const wanted = plural(options.count, 'message');
    throw new AiotError(
      'AIOT_TIMEOUT',
      `expected ${wanted} within ${formatDuration(options.timeoutMs ?? 0)}, got ${end.messages}`,
    );
  }
  if (why === 'timeout') throw new AiotError('AIOT_TIMEOUT', `the time was over after ${came}`);
  return { ...end, ended: why as TailEnd['ended'] };
}

async function unmet(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  { text, count, lastOther }: Watch,
  show: (batch: readonly Shown[]) => void | Promise<void>,
): Promise<AiotError> {
  if (lastOther) await show([lastOther]);
  const of = plural(end.seen, 'message');
  const got = `${end.messages === 0 ? 'none' : end.messages} of ${of}`;
  const wanted = count === 1 ? `a message with ${text}` : `${count} messages with ${text}`;
  const last = lastOther ? `; the last other one: ${quoted(lastOther)}` : '';
  const failed = end.failed > 0 ? `; ${end.failed} could not be asked: ${end.first}` : '';
  if (why === 'source') {
    return new AiotError(
      'AIOT_STREAM_EXPECTED',
      `expected ${wanted}, got ${got} before the stream's end${last}${failed}`,
    );
  }
  const time = why === 'for' ? options.forMs : why === 'within' ? options.withinMs : options.timeoutMs;
  return new AiotError(
    'AIOT_TIMEOUT',
    `expected ${wanted} within ${formatDuration(time ?? 0)}, got ${got}${last}${failed}`,
    { next: 'Look at what comes without --expect, or give more time with --within.' },
  );
}

function quoted({ message }: Shown): string {
  const text = printablePayload(message.payload);
  return text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
}

/** `expect` and `never`: a stream as a check. */
interface Watch {
  /** As it was written. */
  text: string;
  never: boolean;
  /** After so many of them it is decided. */
  count: number;
  /** The messages of a batch that it is true for. */
  choose(batch: readonly Shown[]): Promise<readonly Shown[]>;
  /** The last one for which it was not. */
  readonly lastOther: Shown | undefined;
}

/** @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE (flags that do not go together) */
function createWatch(options: TailOptions, selector: Selector): Watch | undefined {
  const { expect, never, withinMs, count = 1 } = options;
  if (expect !== undefined && never !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected --expect or --never, got both');
  }
  if (withinMs !== undefined && expect === undefined) {
    throw new AiotError('AIOT_USAGE', '--within is the time for --expect', {
      next: 'Use --for to end after a time.',
    });
  }
  const text = expect ?? never;
  if (text === undefined) return undefined;
  const expression = compileExpression(text);
  let lastOther: Shown | undefined;
  return {
    text,
    never: never !== undefined,
    count: never === undefined ? count : 1,
    async choose(batch) {
      const chosen: Shown[] = [];
      for (const shown of batch) {
        const holds = selector.holds(expression, shown.message);
        if (holds === true || (holds !== false && (await holds))) chosen.push(shown);
        else lastOther = shown;
      }
      return chosen;
    },
    get lastOther() {
      return lastOther;
    },
  };
}

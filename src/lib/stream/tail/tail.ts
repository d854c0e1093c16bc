import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { dictionary } from '../../core/names.js';
import { onAbort } from '../../core/tasks.js';
import { printablePayload } from '../../core/text.js';
import { formatDuration } from '../../core/time.js';
import { decoderFor } from '../decode/decoder.js';
import {
  comparedTexts,
  compileExpression,
  type Expression,
  fieldPaths,
  variables,
} from '../decode/expression.js';
import { isTrue } from '../decode/truth.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import type { Delivery, Message, Payloads, Source, StreamOptions } from '../message.js';
import { openSource } from '../open.js';
import { mergeByTime } from './merge.js';
import {
  createMissingFields,
  type MissingField,
  type MissingText,
  missingSentences,
  missingText,
  type WantedField,
  type WantedText,
} from './missing-fields.js';
import { everyPayload, linesOf, type PayloadFilter, payloadFilter } from './payloads.js';
import { textOf } from './template.js';

/** A message selected for display. A source's deliveries have this form too. */
export interface Shown {
  readonly message: Message;
  /** The value shown instead of the payload: the result of `map`, the selected fields, or a decoder's output. */
  readonly value?: unknown;
}

/** The bytes shown for a message: its payload, or the value that replaces it. */
export function bytesOf({ message, value }: Shown): Uint8Array {
  if (value === undefined) return message.payload;
  return ArrayBuffer.isView(value) ? (value as Uint8Array) : Buffer.from(textOf(value));
}

interface SelectOptions {
  /** Expressions that select messages, and the value shown for each. */
  where?: string;
  map?: string;
  /** Paths in the payload (`a`, `motor.current`) or variables (`$topic`), whose values are shown as an object. */
  fields?: readonly string[];
  decode?: DecoderName;
  /** Schema for `decode`, and the name of the message type in it. */
  schema?: string;
  messageType?: string;
}

export interface TailOptions extends StreamOptions, SelectOptions {
  /** Addresses of the sources. Messages from several sources are merged by time. */
  urls: readonly string[];
  /** Ends once this number of messages has been shown. */
  count?: number;
  /** Ends after this time, ms. */
  forMs?: number;
  /** Fails after this time if `count` has not been reached, ms. */
  timeoutMs?: number;
  /**
   * Shows only the messages for which this expression is true. Ends with the first one, or after `count` of them; fails
   * if this takes longer than `withinMs`.
   */
  expect?: string;
  withinMs?: number;
  /** Fails with the first message for which this expression is true, and shows it. Succeeds after `forMs` without one. */
  never?: string;
  /** Called once the source is open. No message is missed after that. */
  onOpen?: (endpoint: string) => void;
  /** Called every second. */
  onProgress?: (progress: TailProgress) => void;
}

export interface TailProgress {
  /** Number of messages so far. */
  seen: number;
  dropped: number;
}

export interface TailEnd {
  /** Number of messages shown. */
  messages: number;
  /** Number of messages received, including those not shown. */
  seen: number;
  /** Number of messages that `where` selected, which are those that `expect` or `never` checked. */
  checked: number;
  /** Number of messages dropped because they arrived faster than they were read. */
  dropped: number;
  /** Number of messages for which an expression or the decoder failed; they are not shown. `first` is the first error. */
  failed: number;
  first?: string;
  /** Fields that an expression or `fields` reads and that no message contained; empty if no message was examined. */
  missing: readonly MissingField[];
  /** Texts that `where` or `expect` compares with a field that contained only other texts; empty if a message was shown. */
  missingTexts: readonly MissingText[];
  /**
   * Reason why `tail` ended. `source`: there are no more messages. `interrupted`: the signal was aborted while no
   * particular messages were awaited.
   */
  ended: 'count' | 'for' | 'source' | 'interrupted';
}

/** Destination of the selected messages. */
export interface TailOutput {
  /** Receives the messages in batches, and is awaited. Never called after `tail` has resolved. */
  show(batch: readonly Shown[]): void | Promise<void>;
  /**
   * Receives payloads only, each followed by a line feed. Called instead of `show` if the source can provide payloads without creating
   * messages.
   */
  lines?: (lines: Uint8Array) => void | Promise<void>;
}

/**
 * Follows sources. A message is acknowledged once it has been shown.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED (both with the number of messages), AIOT_STREAM_EXPECTED, AIOT_STREAM_NEVER,
 * AIOT_STREAM_EXPRESSION, AIOT_USAGE, and errors of opening a source
 */
export async function tail(options: TailOptions, output: TailOutput): Promise<TailEnd> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  // Errors in an expression or a schema are reported before anything is connected.
  const selector = await createSelector(options);
  const watch = createWatch(options, selector);
  const source = await openAll(options);
  options.onOpen?.(source.endpoint);
  const ending = endingOf(options, () => source.close());
  const state = { messages: 0, seen: 0, checked: 0 };
  const ticking =
    onProgress && setInterval(() => onProgress({ seen: state.seen, dropped: source.dropped }), 1000);
  try {
    const work = { options, selector, watch, ending, state };
    const payloads = output.lines && !watch && selector.payloads && source.payloads?.();
    if (payloads) await showPayloads(payloads, work, output.lines!);
    else
      for await (const batch of source) {
        if (ending.why !== undefined) break;
        await showBatch(batch, work, output);
        if (ending.why !== undefined) break;
      }
  } finally {
    clearInterval(ticking);
    ending.clear();
    await (ending.closing ?? source.close());
  }
  const { failed, first, missing } = selector;
  const missingTexts = state.messages === 0 ? selector.missingTexts : [];
  const end = {
    ...state,
    dropped: source.dropped,
    failed,
    missing,
    missingTexts,
    ...(first === undefined ? {} : { first }),
  };
  return endOf(ending.why ?? 'source', end, options, watch, output);
}

/** Number of messages without a match after which missing fields are reported, while the stream is still being followed. */
const noticeAfter = 10;

interface Work {
  options: TailOptions;
  selector: Selector;
  watch: Watch | undefined;
  ending: Ending;
  state: { messages: number; seen: number; checked: number };
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
    // The next messages are prepared while the previous ones are being written.
    await writing;
    if (payloads.count > 0) writing = show(linesOf(payloads));
    state.messages += payloads.count;
    state.checked += payloads.count;
    if (state.messages >= count) ending.end('count');
    if (ending.why !== undefined) break;
  }
  await writing;
}

async function showBatch(
  batch: readonly Delivery[],
  { options, selector, watch, ending, state }: Work,
  output: TailOutput,
): Promise<void> {
  const count = watch?.count ?? options.count ?? Number.POSITIVE_INFINITY;
  const selected = selector.select(batch);
  const all = selected instanceof Promise ? await selected : selected;
  let chosen = watch ? await watch.choose(all) : all;
  // The signal was aborted while the selection was awaited.
  if (ending.why !== undefined && chosen.length === 0) return;
  const room = count - state.messages;
  let taken = batch.length;
  let checked = all.length;
  if (chosen.length >= room) {
    chosen = chosen.slice(0, room);
    // Messages after the last shown message stay with their source.
    const last = chosen.at(-1)?.message;
    taken = batch.findIndex(({ message }) => message === last) + 1;
    checked = all.findIndex(({ message }) => message === last) + 1;
  }
  if (chosen.length > 0) {
    const shown = output.show(chosen);
    if (shown instanceof Promise) await shown;
  }
  state.messages += chosen.length;
  state.seen += taken;
  state.checked += checked;
  for (let index = 0; index < taken; index++) batch[index]!.ack();
  if (state.messages === 0 && state.seen >= noticeAfter && state.seen - taken < noticeAfter)
    for (const sentence of missingSentences({ missing: selector.missing, seen: state.seen }))
      options.onNotice?.(sentence);
  if (state.messages >= count) ending.end(watch?.never ? 'never' : 'count');
}

/** Opens all sources. @throws the errors of opening any of them, after the others are closed */
async function openAll(options: TailOptions): Promise<Source> {
  const { urls, withinMs: _, ...rest } = options;
  const opened = await Promise.allSettled(urls.map((url) => openSource(url, rest)));
  const sources = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failure = opened.find((result) => result.status === 'rejected');
  if (!failure && sources.length > 0) return sources.length === 1 ? sources[0]! : mergeByTime(sources);
  await Promise.all(sources.map((source) => source.close()));
  throw failure?.reason ?? new AiotError('AIOT_USAGE', 'expected the URL of a stream, got none');
}

/** Ends `tail` once: by a timer, or by the signal. */
function endingOf({ forMs, timeoutMs, withinMs, signal }: TailOptions, close: () => Promise<void>): Ending {
  const ending: Ending = {
    why: undefined,
    closing: undefined,
    end(why) {
      if (ending.why !== undefined) return;
      ending.why = why;
      ending.closing = close();
      // `closing` is awaited only later, and may fail before that.
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

export interface Selector {
  /** Returns the messages to show, in order. It is synchronous if the expressions are simple. */
  select(batch: readonly Shown[]): readonly Shown[] | Promise<readonly Shown[]>;
  /** A filter that needs only the payloads; undefined if other parts of messages are read or shown. */
  readonly payloads: PayloadFilter | undefined;
  /** Whether `expect` or `never` is true for this message. */
  holds(expression: Expression, message: Shown['message']): boolean | Promise<boolean>;
  /** Number of messages for which an expression or the decoder failed, and the first error. */
  readonly failed: number;
  readonly first: string | undefined;
  /** Fields that no message examined so far contained. */
  readonly missing: readonly MissingField[];
  /** Texts that no message examined so far contained in the field that `where` or `expect` compares with them. */
  readonly missingTexts: readonly MissingText[];
}

type Step = (shown: Shown) => Shown | undefined | Promise<Shown | undefined>;

/** @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE, and the errors of a decoder's schema */
export async function createSelector(
  options: SelectOptions & Pick<TailOptions, 'expect' | 'never'>,
): Promise<Selector> {
  if (options.map !== undefined && options.fields !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected --map or --fields, got both');
  }
  const fields = createMissingFields(wantedFields(options), wantedTexts(options));
  const decoder = await decoderFor(options.decode, { schema: options.schema, type: options.messageType });
  const decode: Decoder = (message) => {
    const value = decoder(message);
    fields.examine(value);
    return value;
  };
  let failed = 0;
  let first: string | undefined;
  /** Counts a failure for one message, which must not affect other messages. Other errors are rethrown. */
  const note = (error: unknown): void => {
    if (
      !(error instanceof AiotError) ||
      (error.code !== 'AIOT_STREAM_EVALUATION' && error.code !== 'AIOT_STREAM_DECODE')
    )
      throw error;
    failed++;
    first ??= error.message;
  };
  const steps = stepsOf(options, decode);
  const one = (shown: Shown, from = 0): ReturnType<Step> => {
    let current: Shown | undefined = shown;
    for (let index = from; index < steps.length && current !== undefined; index++) {
      const result: ReturnType<Step> = steps[index]!(current);
      if (result instanceof Promise) return result.then((next) => (next ? one(next, index + 1) : undefined));
      current = result;
    }
    return current;
  };
  const guarded = (shown: Shown): ReturnType<Step> => {
    try {
      const result = one(shown);
      return result instanceof Promise ? result.catch(note as () => undefined) : result;
    } catch (error) {
      note(error);
      return undefined;
    }
  };
  return {
    payloads: payloadsOf(options, note, fields.examine),
    select: (batch) => (steps.length === 0 ? batch : inOrder(batch, guarded)),
    holds(expression, message) {
      try {
        const result = expression.evaluate(message, decode);
        if (!(result instanceof Promise)) return isTrue(result);
        return result.then(isTrue).catch((error: unknown) => {
          note(error);
          return false;
        });
      } catch (error) {
        note(error);
        return false;
      }
    },
    get failed() {
      return failed;
    },
    get first() {
      return first;
    },
    get missing() {
      return fields.missing();
    },
    get missingTexts() {
      return fields.missingTexts();
    },
  };
}

/** The fields that the flags read. @throws AIOT_STREAM_EXPRESSION */
function wantedFields({
  where,
  fields = [],
  expect,
  never,
}: SelectOptions & Pick<TailOptions, 'expect' | 'never'>): WantedField[] {
  const read = Object.entries({ where, expect, never }).flatMap(([flag, text]) =>
    text === undefined ? [] : fieldPaths(text).map((path) => ({ flag, path })),
  );
  const listed = fields.filter((path) => !path.startsWith('$'));
  return [...read, ...listed.map((path) => ({ flag: 'fields', path: path.split('.') }))];
}

/** The texts with which messages are selected. `--never` is excluded, because its condition is usually never true. */
function wantedTexts({ where, expect }: Pick<TailOptions, 'where' | 'expect'>): WantedText[] {
  return Object.entries({ where, expect }).flatMap(([flag, text]) =>
    text === undefined ? [] : comparedTexts(text).map((one) => ({ flag, ...one })),
  );
}

function payloadsOf(
  { where, map, fields, decode = 'auto' }: SelectOptions,
  note: (error: unknown) => void,
  examine: (root: unknown) => void,
): PayloadFilter | undefined {
  if (map !== undefined || fields !== undefined || decode !== 'auto') return undefined;
  return where === undefined
    ? everyPayload
    : payloadFilter(compileExpression(where), { isTrue, note, examine });
}

function stepsOf({ where, map, fields, decode: name }: SelectOptions, decode: Decoder): Step[] {
  const steps: Step[] = [];
  if (where !== undefined) {
    const expression = compileExpression(where);
    steps.push((shown) => {
      const result = expression.evaluate(shown.message, decode);
      if (result instanceof Promise) return result.then((value) => (isTrue(value) ? shown : undefined));
      return isTrue(result) ? shown : undefined;
    });
  }
  if (map !== undefined) {
    const expression = compileExpression(map);
    const mapped = (message: Shown['message'], value: unknown) =>
      value === undefined ? undefined : { message, value };
    steps.push(({ message }) => {
      const result = expression.evaluate(message, decode);
      return result instanceof Promise
        ? result.then((value) => mapped(message, value))
        : mapped(message, result);
    });
  } else if (fields !== undefined) {
    const read = fieldReader(fields);
    steps.push(({ message }) => ({ message, value: read(message, decode) }));
  } else if (name !== undefined && name !== 'auto' && name !== 'bytes') {
    steps.push(({ message }) => ({ message, value: decode(message) }));
  }
  return steps;
}

function inOrder(batch: readonly Shown[], step: Step): readonly Shown[] | Promise<readonly Shown[]> {
  const chosen: Shown[] = [];
  for (let index = 0; index < batch.length; index++) {
    const result = step(batch[index]!);
    if (result instanceof Promise) return rest(batch, index, result, chosen, step);
    if (result !== undefined) chosen.push(result);
  }
  return chosen;
}

async function rest(
  batch: readonly Shown[],
  from: number,
  pending: Promise<Shown | undefined>,
  chosen: Shown[],
  step: Step,
): Promise<readonly Shown[]> {
  const result = await pending;
  if (result !== undefined) chosen.push(result);
  for (let index = from + 1; index < batch.length; index++) {
    const next = await step(batch[index]!);
    if (next !== undefined) chosen.push(next);
  }
  return chosen;
}

type Read = (message: Message, decode: Decoder) => unknown;

/**
 * Reads fields by their paths: `a`, `motor.current`, `values.0`, or a variable such as `$topic`.
 * @throws AIOT_USAGE (an empty path, or an unknown variable)
 */
export function fieldReader(
  paths: readonly string[],
): (message: Message, decode: Decoder) => Record<string, unknown> {
  const readers = paths.map((path): [string, Read] => [path, reader(path)]);
  return (message, decode) => {
    const found = dictionary<unknown>();
    for (const [path, read] of readers) {
      const value = read(message, decode);
      if (value !== undefined) found[path] = value;
    }
    return found;
  };
}

function reader(path: string): Read {
  if (path.startsWith('$')) {
    const name = path.slice(1);
    if (Object.hasOwn(variables, name)) return variables[name]!;
    throw new AiotError(
      'AIOT_USAGE',
      `unknown variable ${path}; expected one of ${Object.keys(variables).join(', $')}`,
    );
  }
  const names = path.split('.');
  if (names.includes('')) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected fields such as temperature or motor.current, got ${JSON.stringify(path)}`,
    );
  }
  return (message, decode) => {
    let value = decode(message);
    for (const name of names) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
      value = (value as Record<string, unknown>)[name];
    }
    return value;
  };
}

type Why = 'count' | 'for' | 'source' | 'timeout' | 'within' | 'interrupted' | 'never';

interface Ending {
  why: Why | undefined;
  closing: Promise<void> | undefined;
  end(why: Why): void;
  clear(): void;
}

/** Maximum length of the part of a payload that an error quotes, characters. */
const longestQuote = 200;

/**
 * Converts the reason why `tail` ended into its result or an error. If an expected message did not arrive, it also shows the last other
 * message.
 * @throws AIOT_TIMEOUT, AIOT_INTERRUPTED, AIOT_STREAM_EXPECTED, AIOT_STREAM_NEVER
 */
async function endOf(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  watch: Watch | undefined,
  output: TailOutput,
): Promise<TailEnd> {
  const came = plural(end.seen, 'message');
  // An interruption is a normal end, unless particular messages, or a number of messages, were awaited.
  if (why === 'interrupted' && (watch || options.count !== undefined))
    throw new AiotError('AIOT_INTERRUPTED', `stopped after ${came}${missingText(end)}`);
  if (why === 'never')
    throw new AiotError(
      'AIOT_STREAM_NEVER',
      `after ${came}, one matched ${watch?.text}, which --never forbids`,
    );
  if (watch && !watch.never && why !== 'count') throw await unmet(why, end, options, watch, output);
  if (why === 'timeout' && options.count !== undefined) {
    const wanted = plural(options.count, 'message');
    throw new AiotError(
      'AIOT_TIMEOUT',
      `expected ${wanted} within ${formatDuration(options.timeoutMs ?? 0)}, got ${end.messages}${missingText(end)}`,
      { next: 'Check the topic with `aiot stream list URL`, or allow more time with --timeout.' },
    );
  }
  if (why === 'timeout') throw new AiotError('AIOT_TIMEOUT', `the time limit was reached after ${came}`);
  return { ...end, ended: why as TailEnd['ended'] };
}

async function unmet(
  why: Why,
  end: Omit<TailEnd, 'ended'>,
  options: TailOptions,
  { text, count, lastOther }: Watch,
  output: TailOutput,
): Promise<AiotError> {
  if (lastOther) await output.show([lastOther]);
  const of = plural(end.checked, 'message');
  const got = `${end.messages === 0 ? 'none' : end.messages} of ${of}`;
  const wanted = count === 1 ? `a message with ${text}` : `${count} messages with ${text}`;
  const last = lastOther ? `; the last other one: ${quoted(lastOther)}` : '';
  const failed = end.failed > 0 ? `; ${end.failed} could not be evaluated: ${end.first}` : '';
  if (why === 'source') {
    return new AiotError(
      'AIOT_STREAM_EXPECTED',
      `expected ${wanted}, got ${got} before the stream ended${last}${failed}${missingText(end)}`,
    );
  }
  const time = why === 'for' ? options.forMs : why === 'within' ? options.withinMs : options.timeoutMs;
  return new AiotError(
    'AIOT_TIMEOUT',
    `expected ${wanted} within ${formatDuration(time ?? 0)}, got ${got}${last}${failed}${missingText(end)}`,
    { next: 'Look at the messages without --expect, or allow more time with --within.' },
  );
}

function quoted({ message }: Shown): string {
  const text = printablePayload(message.payload);
  return text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
}

/** A check of the stream by `expect` or `never`. */
interface Watch {
  /** The expression's text. */
  text: string;
  never: boolean;
  /** Number of matching messages that decide the check. */
  count: number;
  /** The messages of a batch for which the expression is true. */
  choose(batch: readonly Shown[]): Promise<readonly Shown[]>;
  /** The last message for which the expression was false. */
  readonly lastOther: Shown | undefined;
}

/** @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE (incompatible flags) */
function createWatch(options: TailOptions, selector: Selector): Watch | undefined {
  const { expect, never, withinMs, count = 1 } = options;
  if (expect !== undefined && never !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected --expect or --never, got both');
  }
  if (withinMs !== undefined && expect === undefined) {
    throw new AiotError('AIOT_USAGE', '--within only applies to --expect', {
      next: 'To stop after a time, use --for.',
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

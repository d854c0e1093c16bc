import { AiotError } from '../../core/errors.js';
import { dictionary } from '../../core/names.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression, type Expression, variables } from '../decode/expression.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import type { Message, StreamOptions } from '../message.js';
import { everyPayload, type PayloadFilter, payloadFilter } from './payloads.js';

/** A message as it was chosen to be shown. A source's deliveries are such ones as they are. */
export interface Shown {
  readonly message: Message;
  /** What to show instead of the payload: the result of `map`, the chosen fields, or what a decoder gave. */
  readonly value?: unknown;
}

interface SelectOptions {
  /** Expressions: which messages, and what to show of them. */
  where?: string;
  map?: string;
  /** Paths in the payload (`a`, `motor.current`) or variables (`$topic`): shown as an object. */
  fields?: readonly string[];
  decode?: DecoderName;
  /** Schema of `decode`, and the message type in it. */
  schema?: string;
  messageType?: string;
}

export interface TailOptions extends StreamOptions, SelectOptions {
  /** Several are merged by the messages' times. */
  urls: readonly string[];
  /** Ends after so many were shown. */
  count?: number;
  /** Ends after this time, ms. */
  forMs?: number;
  /** Fails after this time, ms, when `count` was not reached. */
  timeoutMs?: number;
  /** Shows the messages for which this is true and ends with the first, or after `count`; within `withinMs`, if that is set. */
  expect?: string;
  withinMs?: number;
  /** Shows and ends with the first message for which this is true; after `forMs` all is well. */
  never?: string;
  /** From now on no message is missed. */
  onOpen?: (endpoint: string) => void;
  /** Every second. */
  onProgress?: (progress: TailProgress) => void;
}

export interface TailProgress {
  /** Since the beginning. */
  seen: number;
  dropped: number;
}

export interface TailEnd {
  /** Shown. */
  messages: number;
  /** Received, whatever became of them. */
  seen: number;
  /** Messages thrown away because they came faster than they were taken. */
  dropped: number;
  /** Messages about which an expression or the decoder failed: they count as not chosen. `first` says why. */
  failed: number;
  first?: string;
  /** Why it ended; `source` = there is no more. */
  ended: 'count' | 'for' | 'source';
}

export interface Selector {
  /** Those to show, in their order: at once where the expressions are simple, promised otherwise. */
  select(batch: readonly Shown[]): readonly Shown[] | Promise<readonly Shown[]>;
  /** The same of payloads alone; undefined where more than these is looked at, or something else is shown. */
  readonly payloads: PayloadFilter | undefined;
  /** Whether `expect` or `never` is true of this message. */
  holds(expression: Expression, message: Shown['message']): boolean | Promise<boolean>;
  /** Messages about which an expression or the decoder failed, and why the first one did. */
  readonly failed: number;
  readonly first: string | undefined;
}

type Step = (shown: Shown) => Shown | undefined | Promise<Shown | undefined>;

/** @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE, and what the schema of a decoder throws */
export async function createSelector(options: SelectOptions): Promise<Selector> {
  if (options.map !== undefined && options.fields !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected --map or --fields, got both');
  }
  const decode = await decoderFor(options.decode, { schema: options.schema, type: options.messageType });
  let failed = 0;
  let first: string | undefined;
  /** An expression about one message that fails says nothing about the others. */
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
    payloads: payloadsOf(options, note),
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
  };
}

function payloadsOf(
  { where, map, fields, decode = 'auto' }: SelectOptions,
  note: (error: unknown) => void,
): PayloadFilter | undefined {
  if (map !== undefined || fields !== undefined || decode !== 'auto') return undefined;
  return where === undefined ? everyPayload : payloadFilter(compileExpression(where), isTrue, note);
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

/** JSONata's truth, of a result. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isTrue);
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
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
 * @throws AIOT_USAGE (an empty path, or a variable that there is not)
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
      `no variable ${path}: there are $${Object.keys(variables).join(', $')}`,
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

import { AiotError } from '../../core/errors.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression, type Expression } from '../decode/expression.js';
import { isTrue } from '../decode/truth.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import type { Header, Message } from '../message.js';
import { parseStreamUrl } from '../url.js';
import type { Processor, Route } from './types.js';

/** One message that a route has produced. */
export interface Made {
  payload: Uint8Array;
  /** The topic; undefined = the topic in the sink's address, or else the original message's topic. */
  topic: string | undefined;
  key: Uint8Array | undefined;
  headers: readonly Header[] | undefined;
  tombstone: true | undefined;
  retain: boolean | undefined;
  /** The original message. */
  of: Message;
}

export interface Transform {
  /**
   * Returns the messages for the sinks; empty = filtered out. Asynchronous only if an expression or a processor is.
   * @throws errors caused by the message
   */
  (message: Message): readonly Made[] | Promise<readonly Made[]>;
  /** Whether messages are passed on unchanged. */
  readonly identity: boolean;
}

/** @throws the errors of loading the decoder's schema */
export async function createTransform(route: Route, processor?: Processor): Promise<Transform> {
  const { format, schema, type } = route.decode;
  const decode = await decoderFor(format as DecoderName, {
    ...(schema === undefined ? {} : { schema }),
    ...(type === undefined ? {} : { type }),
  });
  const compile = (text: string | undefined) => (text === undefined ? undefined : compileExpression(text));
  const where = compile(route.where);
  const make = maker(route, decode);
  const admit = (message: Message) => (processor ? processed(message, processor, make) : make(message));
  const transform = (message: Message) => {
    if (!where) return admit(message);
    return after(where.evaluate(message, decode), (wanted) => (isTrue(wanted) ? admit(message) : []));
  };
  const changes = [route.where, route.map, route.topic, route.key, processor].some((it) => it !== undefined);
  return Object.assign(transform, { identity: !changes && Object.keys(route.headers).length === 0 });
}

/**
 * Calls `then` with the value: synchronously, unless the value is a promise. Most expressions are synchronous, and a
 * promise for each result would take longer than the evaluation.
 */
function after<T, R>(value: T | Promise<T>, then: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(then) : then(value);
}

async function processed(
  message: Message,
  processor: Processor,
  make: (message: Message) => readonly Made[] | Promise<readonly Made[]>,
): Promise<readonly Made[]> {
  const { time, source } = message;
  const all: Made[] = [];
  for (const made of await processor.process(message)) {
    all.push(...(await make({ time, source, ...made })));
  }
  return all;
}

function maker(
  route: Route,
  decode: Decoder,
): (message: Message) => readonly Made[] | Promise<readonly Made[]> {
  const compile = (text: string | undefined) => (text === undefined ? undefined : compileExpression(text));
  const [map, topic, key] = [route.map, route.topic, route.key].map(compile);
  const headers = Object.entries(route.headers).map(
    ([name, text]) => [name, compileExpression(text)] as const,
  );
  if (!map && !topic && !key && headers.length === 0) return (message) => [unchanged(message)];
  const evaluate = (expression: Expression | undefined, message: Message) =>
    expression?.evaluate(message, decode);
  return (message) => {
    const parts = [
      evaluate(map, message),
      evaluate(topic, message),
      evaluate(key, message),
      ...headers.map(([, each]) => each.evaluate(message, decode)),
    ];
    const settled = parts.some((part) => part instanceof Promise) ? Promise.all(parts) : parts;
    return after(settled, ([mapped, topicValue, keyValue, ...values]) => {
      const base = unchanged(message);
      if (topic) base.topic = topicOf(topicValue, topic);
      if (key && keyValue !== undefined && keyValue !== null) base.key = bytesOf(keyValue, key.text);
      if (headers.length > 0) base.headers = withHeaders(message.headers, headers, values);
      if (!map) return [base];
      const payloads = route.each && Array.isArray(mapped) ? mapped : [mapped];
      return payloads
        .filter((value) => value !== undefined)
        .map((value) => ({ ...base, payload: bytesOf(value, map.text), tombstone: undefined }));
    });
  };
}

function unchanged(message: Message): Made {
  const { payload, key, headers, tombstone, retain } = message;
  return { payload, topic: undefined, key, headers, tombstone, retain, of: message };
}

function topicOf(value: unknown, { text }: Expression): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new AiotError(
    'AIOT_ROUTE_MESSAGE',
    `topic: ${text}: expected text, got ${JSON.stringify(value) ?? 'nothing'}`,
  );
}

/**
 * A message's headers with the results of the route's expressions. A result replaces the headers of the same name; an expression
 * without a result removes them.
 */
function withHeaders(
  had: readonly Header[] | undefined,
  wanted: readonly (readonly [string, Expression])[],
  values: readonly unknown[],
): Header[] {
  const names = new Set(wanted.map(([name]) => name));
  const kept = (had ?? []).filter(([name]) => !names.has(name));
  const made = wanted.flatMap(([name, { text }], index): Header[] => {
    const value = values[index];
    if (value === undefined || value === null) return [];
    if (value instanceof Uint8Array) return [[name, value]];
    return [[name, typeof value === 'string' ? value : bytesOf(value, text).toString()]];
  });
  return [...kept, ...made];
}

/** Converts a value to a payload: text and bytes unchanged, anything else as JSON. */
function bytesOf(value: unknown, text: string): Buffer {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length);
  const json = JSON.stringify(value);
  if (json !== undefined) return Buffer.from(json);
  throw new AiotError('AIOT_ROUTE_MESSAGE', `${text}: expected a value, got a ${typeof value}`);
}

/** How a kind of destination writes the levels of a topic. */
type Family = 'mqtt' | 'nats' | 'kafka' | 'other';

const families: Record<string, Family> = {
  mqtt: 'mqtt',
  mqtts: 'mqtt',
  ws: 'mqtt',
  wss: 'mqtt',
  aiot: 'mqtt',
  nats: 'nats',
  natss: 'nats',
  kafka: 'kafka',
  kafkas: 'kafka',
};

/**
 * A message's topic at a sink, if the route has no `topic`. The topic is empty if the URL has a topic, which the sink
 * adds itself; otherwise, it is the message's topic in the sink's notation. A URL topic that ends in `#` (MQTT) or `>`
 * (NATS) is a prefix: `sensors/1` goes to `site/#` as `site/sensors/1`. For files, HTTP and other sinks without topics,
 * the message's topic is unchanged.
 */
export function topicAt(url: string): (message: Pick<Message, 'topic' | 'source'>) => string {
  const { scheme, host, path } = parseStreamUrl(url);
  // A dataset's name is not a topic. The message's topic is kept, because it may name the device.
  const family = scheme === 'aiot' && host === 'dataset' ? 'other' : (families[scheme] ?? 'other');
  if (family === 'other') return ({ topic }) => topic;
  const prefix = /^(.*?)[#>]$/s.exec(path)?.[1];
  if (path !== '' && prefix === undefined) return () => '';
  return ({ topic, source }) => `${prefix ?? ''}${translated(topic, familyOf(source), family)}`;
}

function familyOf(endpoint: string): Family {
  return families[/^([a-z]+):/.exec(endpoint)?.[1] ?? ''] ?? 'other';
}

/**
 * Translates a topic between notations: `a/b` ↔ `a.b`. A dot within an MQTT level would split the level in NATS, so it becomes `_`, as does
 * white space. Kafka's topics contain only letters, digits, `.`, `_` and `-` (Kafka, `Topic.java`), so `/` becomes `.`.
 */
function translated(topic: string, from: Family, to: Family): string {
  if (from === to) return topic;
  switch (to) {
    case 'mqtt':
      return from === 'nats' ? topic.replaceAll('.', '/') : topic;
    case 'nats':
      return from === 'mqtt' ? topic.replaceAll(/[.\s*>]/g, '_').replaceAll('/', '.') : topic;
    case 'kafka':
      return topic.replaceAll('/', '.').replaceAll(/[^A-Za-z0-9._-]/g, '_');
    case 'other':
      return topic;
  }
}

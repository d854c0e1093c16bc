import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readBytes, requireFile } from '../../core/files.js';
import { untilAborted } from '../../core/tasks.js';
import { fromLine } from '../file/line.js';
import type { Header, OutgoingMessage, StreamOptions } from '../message.js';
import { openSink } from '../open.js';
import { topicAt } from '../route/transform.js';
import { compileTemplate } from '../tail/template.js';
import { parseStreamUrl, shownUrl } from '../url.js';
import { atRate, firstOf, writeAll } from './pace.js';

interface PublishOptions extends Omit<StreamOptions, 'input' | 'key'> {
  url: string;
  /** What, as the user gave it; one of them, or stdin. */
  message?: string;
  file?: string;
  template?: string;
  /** Each line is a message; a file whose name says so needs it not. */
  lines?: boolean;
  count?: number;
  /** A second; 0 = as fast as they are taken. */
  rate?: number;
  retain?: boolean;
  messageKey?: string;
  headers?: readonly Header[];
  input: Readable & { isTTY?: boolean };
  onProgress?: PublishManyOptions['onProgress'];
}

/**
 * Publishes what was given: one message, or many. A rate without a count goes on until it is stopped.
 * @throws AIOT_USAGE (what does not go together), AIOT_FILE_NOT_FOUND, and what publishing throws
 */
export async function publish(options: PublishOptions): Promise<Published | PublishedMany> {
  const { message, file, template, count, rate, messageKey, headers, input, signal, ...rest } = options;
  const sources = { MESSAGE: message, '--file': file, '--template': template };
  const given = Object.entries(sources).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (given.length > 1)
    throw new AiotError(
      'AIOT_USAGE',
      `expected one of ${Object.keys(sources).join(', ')}, got ${given.join(' and ')}`,
    );
  const lines = options.lines || (file !== undefined && /\.(ndjson|jsonl)(\.gz)?$/i.test(file));
  if (options.lines && (message !== undefined || template !== undefined)) {
    throw new AiotError('AIOT_USAGE', `--lines is of --file or stdin, got ${given.join()}`);
  }
  const key = messageKey === undefined ? undefined : Buffer.from(messageKey);
  const many = { ...rest, signal, rate: rate ?? 0, headers, messageKey: key };
  if (lines) {
    if (file === undefined && input.isTTY)
      throw new AiotError('AIOT_USAGE', 'expected --file, or lines on stdin');
    const where = file ?? 'stdin';
    return publishMany({
      ...many,
      what: { lines: file === undefined ? linesOf(input, where) : await linesOfFile(file), where },
      count,
    });
  }
  const wanted = count ?? (rate ? undefined : 1);
  if (template !== undefined) return publishMany({ ...many, what: { template }, count: wanted });
  const payload = await payloadFrom({ message, file }, signal, input);
  const plain = wanted === 1 && messageKey === undefined && headers === undefined;
  if (plain) return publishMessage({ ...rest, payload, signal });
  return publishMany({ ...many, what: { payload }, count: wanted });
}

/** Largest payload of an MQTT message (3.1.1, section 2.2.3), bytes. */
const largestBytes = 268_435_455;

/**
 * The payload that a user means: the text given, a file's bytes, or else what comes from `input`, to its end.
 * @throws AIOT_USAGE (both given, or nothing to read from), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
async function payloadFrom(
  given: { message?: string; file?: string },
  signal?: AbortSignal,
  input: Readable & { isTTY?: boolean } = process.stdin,
): Promise<Uint8Array> {
  const { message, file } = given;
  if (message !== undefined && file !== undefined) {
    throw new AiotError('AIOT_USAGE', 'expected MESSAGE or --file, got both');
  }
  if (message !== undefined) return Buffer.from(message);
  if (file !== undefined) return limited(await readBytes(file), file);
  if (input.isTTY) throw new AiotError('AIOT_USAGE', 'expected MESSAGE, --file, or something on stdin');
  const chunks: Buffer[] = [];
  if (signal) addAbortSignal(signal, input);
  try {
    for await (const chunk of input) chunks.push(Buffer.from(chunk));
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
  return limited(Buffer.concat(chunks), 'stdin');
}

function limited(bytes: Buffer, where: string): Buffer {
  if (bytes.length <= largestBytes) return bytes;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${where}: expected at most ${largestBytes} bytes, got ${bytes.length}`,
  );
}

interface PublishMessageOptions extends Omit<StreamOptions, 'qos'> {
  /** Where to, with the topic in it. */
  url: string;
  payload: Uint8Array;
  /** Default 1. */
  qos?: 0 | 1 | 2;
  retain?: boolean;
  signal?: AbortSignal;
}

export const publishedSchema = z.object({
  /** Where it can be read, without credentials. */
  url: z.string(),
  topic: z.string(),
  bytes: z.int(),
  qos: z.int(),
  retain: z.boolean(),
  /** The far side has said that it has the message; at QoS 0 nobody says so. */
  acknowledged: z.boolean(),
});

type Published = z.output<typeof publishedSchema>;

/** Publishes one message and waits for its acknowledgement. @throws what opening and writing throw */
async function publishMessage(options: PublishMessageOptions): Promise<Published> {
  const { url, payload, qos = 1, retain = false, signal } = options;
  signal?.throwIfAborted();
  const { scheme, path } = parseStreamUrl(url);
  // A path of a file, a page or a bucket is no topic, but lines and objects have one.
  const topic = pathless.has(scheme) ? 'aiot' : path;
  const sink = await openSink(url, options);
  try {
    const written = sink.write([{ topic, payload, qos, retain }]);
    await untilAborted(written, signal);
  } finally {
    await sink.close();
  }
  return {
    url: scheme === 'file' ? `file:${sink.endpoint}` : shownUrl(url),
    topic,
    bytes: payload.length,
    qos,
    retain,
    acknowledged: qos > 0 || scheme === 'file',
  };
}

/** Messages in one write, where they are made as fast as they are taken. */
const together = 500;

interface PublishManyOptions extends Omit<StreamOptions, 'key'> {
  /** Where to; a topic in it is that of all messages. */
  url: string;
  /** What: lines of a file or of stdin, one payload again and again, or a template (see print/template.ts) about `{n}` and `$time`. */
  what: { lines: AsyncIterable<Buffer[]>; where: string } | { payload: Uint8Array } | { template: string };
  /** Ends after so many; absent = all lines, or endless. */
  count?: number;
  /** A second; 0 = as fast as they are taken. */
  rate: number;
  retain?: boolean;
  /** Kafka's, of all of them. */
  messageKey?: Uint8Array;
  headers?: readonly Header[];
  onProgress?: (written: { messages: number; bytes: number }) => void;
}

export const publishedManySchema = z.object({
  /** Without credentials and topic; a file or device by its path. */
  url: z.string(),
  messages: z.int(),
  bytes: z.int(),
  seconds: z.number(),
  /** Messages a second. */
  rate: z.number(),
  /** The far side has said that it has them; at QoS 0 nobody says so. */
  acknowledged: z.boolean(),
});

type PublishedMany = z.output<typeof publishedManySchema>;

/**
 * Publishes messages, many at once under way, and waits until the far side has them. Ctrl-C ends it with what was begun.
 * @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE, AIOT_FILE_MALFORMED, and what opening and writing throw
 */
async function publishMany(options: PublishManyOptions): Promise<PublishedMany> {
  const { url, rate, signal, count, onProgress, qos = 1 } = options;
  const { endpoint } = parseStreamUrl(url);
  const addressed = withTopics(url);
  const made = await messagesOf(options);
  const wanted = count === undefined ? made : firstOf(made, count);
  const sink = await openSink(url, options);
  const started = performance.now();
  try {
    const written = await writeAll(sink, mapped(atRate(wanted, rate, signal), addressed), {
      signal,
      onProgress,
    });
    const seconds = (performance.now() - started) / 1000;
    return {
      url: endpoint.endsWith(':') ? shownUrl(url) : endpoint,
      ...written,
      seconds,
      rate: written.messages / seconds,
      acknowledged: !/^(mqtts?|wss?|aiot):/.test(url) || qos > 0,
    };
  } finally {
    await sink.close();
  }
}

async function messagesOf(options: PublishManyOptions): Promise<AsyncIterable<readonly OutgoingMessage[]>> {
  const { what, qos, retain, messageKey: key, headers } = options;
  const given = { ...(key ? { key } : {}), ...(headers ? { headers } : {}) };
  const base = { ...(qos === undefined ? {} : { qos }), ...(retain ? { retain } : {}), ...given };
  if ('lines' in what)
    return mapped(what.lines, (lines) =>
      lines.map((line) => ({ ...messageOfLine(line, what.where), ...base })),
    );
  if ('payload' in what) return endless(() => ({ topic: '', payload: what.payload, ...base }), together);
  const text = compileTemplate(what.template);
  const make = async (n: number) => {
    const message = { topic: '', payload: new Uint8Array(), time: Date.now(), source: 'template' };
    return { topic: '', payload: Buffer.from(await text(message, () => ({ n }))), ...base };
  };
  // A paced message is made when it is sent: its template may contain the time.
  return endless(make, options.rate > 0 ? 1 : together);
}

async function* endless(
  make: (n: number) => OutgoingMessage | Promise<OutgoingMessage>,
  size: number,
): AsyncGenerator<OutgoingMessage[]> {
  for (let n = 0; ; ) {
    const batch: OutgoingMessage[] = [];
    while (batch.length < size) batch.push(await make(n++));
    yield batch;
  }
}

async function* mapped<T, U>(
  batches: AsyncIterable<readonly T[]>,
  change: (batch: readonly T[]) => readonly U[],
): AsyncGenerator<readonly U[]> {
  for await (const batch of batches) yield change(batch);
}

const lineFeed = 10;
const carriageReturn = 13;

/** Longest line, bytes: what is longer is no file of messages. */
const longest = 64 * 1024 * 1024;

/** A file by its name, `.gz` unpacked. @throws AIOT_FILE_NOT_FOUND */
async function linesOfFile(path: string): Promise<AsyncIterable<Buffer[]>> {
  await requireFile(path);
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  return linesOf(path.endsWith('.gz') ? file.pipe(createGunzip()) : file, path);
}

/** Lines as bytes, without their ends, those that are not empty; one batch a piece that was read. @throws AIOT_FILE_MALFORMED */
async function* linesOf(input: Readable, where: string): AsyncGenerator<Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of input) {
      const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, Buffer.from(chunk)]);
      const lines: Buffer[] = [];
      let start = 0;
      for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, start)) {
        const last = bytes[end - 1] === carriageReturn && end > start ? end - 1 : end;
        if (last > start) lines.push(bytes.subarray(start, last));
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > longest) {
        throw new AiotError('AIOT_FILE_MALFORMED', `${where}: expected lines of at most ${longest} bytes`);
      }
      if (lines.length > 0) yield lines;
    }
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${where}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (rest.length > 0) yield [rest];
}

/**
 * What a line is to be published as: a message line (an object with `topic` and `payload`, such as `stream record` writes) that
 * message; anything else is a payload, byte for byte.
 */
function messageOfLine(line: Buffer, where: string): OutgoingMessage {
  // Most payloads need not be parsed to see that they are no message lines.
  if (line[0] !== 0x7b || !line.includes('"topic"') || !line.includes('"payload"'))
    return { topic: '', payload: line };
  try {
    const { source: _, ...message } = fromLine(line.toString(), where, 0);
    return message;
  } catch {
    return { topic: '', payload: line };
  }
}

/** Schemes whose path is no topic. */
const pathless: ReadonlySet<string> = new Set([
  'file',
  'stdin',
  'serial',
  'http',
  'https',
  's3',
  'tcp',
  'telegram',
]);

/**
 * The messages with the topic that they go to, as of routes: the URL's (an empty one, for its sink), or their own.
 * @throws AIOT_USAGE for a message without a topic, where the URL has none either
 */
export function withTopics(
  url: string,
): (messages: readonly OutgoingMessage[]) => readonly OutgoingMessage[] {
  const { scheme, path } = parseStreamUrl(url);
  const topicOf = topicAt(url);
  return (messages) =>
    messages.map((message) => {
      const topic = topicOf({ topic: message.topic, source: '' });
      if (topic !== '' || (path !== '' && !pathless.has(scheme))) return { ...message, topic };
      // Lines and objects have one, whatever it is.
      if (pathless.has(scheme)) return { ...message, topic: 'aiot' };
      throw new AiotError('AIOT_USAGE', `${scheme}: a message has no topic, and there is none in the URL`, {
        next: `Give the URL one: ${scheme}://HOST/TOPIC`,
      });
    });
}

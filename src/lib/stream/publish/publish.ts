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
  /** The payload as text. At most one of `message`, `file` and `template` is given; without one, the payload is read from stdin. */
  message?: string;
  file?: string;
  template?: string;
  /** Whether each line is a message. Implied by some file names, such as those of NDJSON files. */
  lines?: boolean;
  count?: number;
  /** Messages per second; 0 = as fast as possible. */
  rate?: number;
  retain?: boolean;
  messageKey?: string;
  headers?: readonly Header[];
  input: Readable & { isTTY?: boolean };
  onProgress?: PublishManyOptions['onProgress'];
}

/**
 * Publishes one or many messages. With a rate but no count, publishing continues until it is stopped.
 * @throws AIOT_USAGE (incompatible options), AIOT_FILE_NOT_FOUND, and the errors of publishing
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
    throw new AiotError('AIOT_USAGE', `--lines needs --file or stdin, got ${given.join()}`);
  }
  const key = messageKey === undefined ? undefined : Buffer.from(messageKey);
  // Headers given by the user are required. Headers of recorded lines may be dropped, which the caller reports.
  const requireHeaders = headers !== undefined;
  const many = { ...rest, signal, rate: rate ?? 0, headers, requireHeaders, messageKey: key };
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
 * The payload given by the user: the text, a file's bytes, or all of `input`.
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
  if (input.isTTY) throw new AiotError('AIOT_USAGE', 'expected MESSAGE, --file, or input on stdin');
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
  /** Destination, including the topic. */
  url: string;
  payload: Uint8Array;
  /** MQTT QoS; default 1. */
  qos?: 0 | 1 | 2;
  retain?: boolean;
  signal?: AbortSignal;
}

export const publishedSchema = z.object({
  /** URL where the message can be read, without credentials. */
  url: z.string(),
  topic: z.string(),
  bytes: z.int(),
  qos: z.int(),
  retain: z.boolean(),
  /** Whether the destination acknowledged the message; QoS 0 has no acknowledgment. */
  acknowledged: z.boolean(),
});

type Published = z.output<typeof publishedSchema>;

/** Publishes one message and waits for its acknowledgment. @throws the errors of opening and writing */
async function publishMessage(options: PublishMessageOptions): Promise<Published> {
  const { url, payload, qos = 1, retain = false, signal } = options;
  signal?.throwIfAborted();
  const { scheme, path } = parseStreamUrl(url);
  // The path of such a URL is not a topic, but messages written as lines or objects still need one.
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

/** Number of messages in a write if there is no rate. */
const together = 500;

interface PublishManyOptions extends Omit<StreamOptions, 'key'> {
  /** Destination; if it contains a topic, the topic applies to all messages. */
  url: string;
  /** The content: lines of a file or of stdin, one payload repeated, or a template (see tail/template.ts) with `{n}` and `$time`. */
  what: { lines: AsyncIterable<Buffer[]>; where: string } | { payload: Uint8Array } | { template: string };
  /** Number of messages to publish; absent = all lines, or no end. */
  count?: number;
  /** Messages per second; 0 = as fast as possible. */
  rate: number;
  retain?: boolean;
  /** Kafka's key for all messages. */
  messageKey?: Uint8Array;
  headers?: readonly Header[];
  onProgress?: (written: { messages: number; bytes: number }) => void;
}

export const publishedManySchema = z.object({
  /** Address of the destination without credentials, with the topic if it applies to all messages; the path of a file or device. */
  url: z.string(),
  messages: z.int(),
  bytes: z.int(),
  seconds: z.number(),
  /** Messages per second. */
  rate: z.number(),
  /** Whether the destination acknowledged the messages; QoS 0 has no acknowledgment. */
  acknowledged: z.boolean(),
});

type PublishedMany = z.output<typeof publishedManySchema>;

/**
 * Publishes messages, many concurrently, and waits until the destination has acknowledged them. After Ctrl-C, waits for
 * the messages in flight.
 * @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE, AIOT_FILE_MALFORMED, and the errors of opening and writing
 */
async function publishMany(options: PublishManyOptions): Promise<PublishedMany> {
  const { url, rate, signal, count, onProgress, qos = 1 } = options;
  const { scheme, path, endpoint } = parseStreamUrl(url);
  const hasTopic = path !== '' && !pathless.has(scheme);
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
      url: hasTopic || endpoint.endsWith(':') ? shownUrl(url) : endpoint,
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
  // With a rate, each message is made when it is sent, because its template may contain the time.
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

/** Maximum length of a line, bytes. A file with a longer line is not considered a file of messages. */
const longest = 64 * 1024 * 1024;

/** The lines of a file; `.gz` is decompressed. @throws AIOT_FILE_NOT_FOUND */
async function linesOfFile(path: string): Promise<AsyncIterable<Buffer[]>> {
  await requireFile(path);
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  return linesOf(path.endsWith('.gz') ? file.pipe(createGunzip()) : file, path);
}

/** Yields the non-empty lines as bytes, without line endings; one batch per chunk. @throws AIOT_FILE_MALFORMED */
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
 * The message for a line: a message line (an object with `topic` and `payload`, as written by `stream record`) becomes that
 * message; anything else is a payload, byte for byte.
 */
function messageOfLine(line: Buffer, where: string): OutgoingMessage {
  // Most lines cannot be message lines. This check avoids parsing them.
  if (line[0] !== 0x7b || !line.includes('"topic"') || !line.includes('"payload"'))
    return { topic: '', payload: line };
  try {
    const { source: _, ...message } = fromLine(line.toString(), where, 0);
    return message;
  } catch {
    return { topic: '', payload: line };
  }
}

/** Schemes whose path is not a topic. */
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
 * Gives each message its destination topic, as in routes: empty if the URL has a topic (the sink adds it), otherwise
 * the message's own topic.
 * @throws AIOT_USAGE for a message without a topic if the URL has none either
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
      // Messages written as lines or objects need a topic, but its name does not matter.
      if (pathless.has(scheme)) return { ...message, topic: 'aiot' };
      throw new AiotError('AIOT_USAGE', `${scheme}: the message has no topic, and the URL names none`, {
        next: `Add a topic to the URL: ${scheme}://HOST/TOPIC`,
      });
    });
}

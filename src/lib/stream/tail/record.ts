import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression } from '../decode/expression.js';
import type { Message, OutgoingMessage, Source, StreamOptions } from '../message.js';
import { openSink, openSource } from '../open.js';
import { byTime, writeAll } from '../publish/pace.js';
import { withTopics } from '../publish/publish.js';
import { parseStreamUrl } from '../url.js';
import { missingFieldSchema } from './missing-fields.js';
import { createSelector, type Shown, type TailEnd, type TailOptions, tail } from './tail.js';

export interface RecordOptions extends TailOptions {
  /** File of message lines, which is compressed if its name ends with .gz. */
  out: string;
  onRecorded?: (messages: number) => void;
}

export const recordedSchema = z.object({
  file: z.string(),
  messages: z.int(),
  /** Number of messages received, including those that --where left out. */
  seen: z.int(),
  /** Fields that --where reads and that occurred in no message. */
  missingFields: z.array(missingFieldSchema),
  /** Number of messages dropped because they arrived faster than the disk accepted them; 0 unless dropping was allowed. */
  dropped: z.int(),
  /** Time of the first message, ms since 1970; absent if there were no messages. */
  first: z.number().optional(),
  /** Time of the last message, ms since 1970; absent if there were no messages. */
  last: z.number().optional(),
});

type Recorded = z.output<typeof recordedSchema>;

/**
 * Writes messages to a file, one line each with the time, topic, key, headers and payload, which can be restored byte for byte.
 * Each message is acknowledged once it is on disk. Ctrl-C ends the recording normally.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL, and the errors of `tail`
 */
export async function record(options: RecordOptions): Promise<Recorded> {
  const { out, onRecorded, signal, ...rest } = options;
  signal?.throwIfAborted();
  const sink = await openSink(fileUrl(out));
  const recorded: Recorded = { file: out, messages: 0, seen: 0, missingFields: [], dropped: 0 };
  const show = async (batch: readonly Shown[]) => {
    await sink.write(batch.map(({ message }) => message));
    recorded.first ??= batch[0]?.message.time;
    recorded.last = batch.at(-1)?.message.time;
    recorded.messages += batch.length;
    onRecorded?.(recorded.messages);
  };
  const ended: Partial<TailEnd> = await tail({ ...rest, signal }, { show })
    .catch((error: unknown) => {
      // After an abort, the messages recorded so far are kept.
      if (signal?.aborted) return {};
      throw error;
    })
    .finally(() => sink.close());
  const { seen = recorded.messages, missing = [], dropped = 0 } = ended;
  return { ...recorded, seen, missingFields: [...missing], dropped };
}

/** A path as the URL of a file. `%` and `?` are escaped, because they have a special meaning in a URL. */
function fileUrl(path: string): string {
  return `file:${path.replace(/[%?]/g, encodeURIComponent)}?format=ndjson`;
}

interface ReplayOptions extends StreamOptions {
  /** File of message lines, as written by `stream record`. */
  file: string;
  /** Destination; if it contains a topic, the topic applies to all messages. */
  to: string;
  /** Speed of the replay: 1 = original pauses, 2 = twice as fast, Infinity = as fast as possible. */
  speed: number;
  /** Expressions: a condition for the messages to publish, and each message's topic. */
  where?: string;
  topic?: string;
  /** Whether to keep the recorded times, if the destination accepts them (Kafka). Otherwise, messages get the current time. */
  keepTime?: boolean;
  onProgress?: (written: { messages: number; bytes: number }) => void;
}

export const replayedSchema = z.object({
  file: z.string(),
  /** Address of the destination, without credentials and topic. */
  url: z.string(),
  messages: z.int(),
  bytes: z.int(),
  seconds: z.number(),
  rate: z.number(),
});

type Replayed = z.output<typeof replayedSchema>;

/**
 * Publishes the messages of a recording. Ctrl-C ends the replay once the messages in flight have arrived.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the line), AIOT_STREAM_EXPRESSION, AIOT_STREAM_EVALUATION (of `topic`), and
 * the errors of opening and writing
 */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const { file, to, speed, signal, onProgress } = options;
  const change = await changerOf(options);
  const source = await openSource(fileUrl(file));
  const sink = await openSink(to, options).catch(async (error: unknown) => {
    await source.close();
    throw error;
  });
  const started = performance.now();
  try {
    const written = await writeAll(sink, outgoing(byTime(chosen(source, options), speed, signal), change), {
      signal,
      onProgress,
    });
    const seconds = (performance.now() - started) / 1000;
    return { file, url: parseStreamUrl(to).endpoint, ...written, seconds, rate: written.messages / seconds };
  } finally {
    await source.close();
    await sink.close();
  }
}

async function* chosen(source: Source, { where }: ReplayOptions): AsyncGenerator<readonly Message[]> {
  const selector = await createSelector({ where });
  for await (const batch of source) yield (await selector.select(batch)).map(({ message }) => message);
}

type Change = (
  messages: readonly Message[],
) => readonly OutgoingMessage[] | Promise<readonly OutgoingMessage[]>;

async function* outgoing(batches: AsyncIterable<readonly Message[]>, change: Change) {
  for await (const batch of batches) yield await change(batch);
}

async function changerOf({ to, topic, keepTime, qos, where }: ReplayOptions): Promise<Change> {
  // Errors in the expressions are reported before anything is connected.
  if (where !== undefined) compileExpression(where);
  const plainly = (message: Message): OutgoingMessage => {
    const { source: _, position: __, time, ...rest } = message;
    return { ...rest, ...(keepTime ? { time } : {}), ...(qos === undefined ? {} : { qos }) };
  };
  if (topic === undefined) {
    const addressed = withTopics(to);
    return (messages) => addressed(messages.map(plainly));
  }
  const expression = compileExpression(topic);
  const decode = await decoderFor('auto');
  return (messages) =>
    Promise.all(
      messages.map(async (message) => {
        const name = await expression.evaluate(message, decode);
        if (typeof name === 'string' && name !== '') return { ...plainly(message), topic: name };
        throw new AiotError(
          'AIOT_STREAM_EVALUATION',
          `${topic}: expected a topic, got ${JSON.stringify(name)}`,
        );
      }),
    );
}

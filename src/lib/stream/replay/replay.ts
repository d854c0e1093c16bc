import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { decoderFor } from '../decode/decoder.js';
import { compileExpression } from '../expression/compile.js';
import type { Message, OutgoingMessage, Source } from '../message.js';
import { openSink, openSource } from '../open.js';
import type { StreamOptions } from '../options.js';
import { byTime } from '../publish/pace.js';
import { writeAll } from '../publish/pipeline.js';
import { withTopics } from '../publish/topics.js';
import { fileUrl } from '../record/record.js';
import { createSelector } from '../tail/select.js';
import { parseStreamUrl } from '../url.js';

export interface ReplayOptions extends StreamOptions {
  /** File of message lines (`stream record`). */
  file: string;
  /** Where to; a topic in it is that of all messages. */
  to: string;
  /** 1 = with the pauses there were, 2 = twice as fast, Infinity = as fast as they are taken. */
  speed: number;
  /** Expressions: which messages, and the topic of each. */
  where?: string;
  topic?: string;
  /** Keep the recorded times, where the far side takes them (Kafka); otherwise it is now. */
  keepTime?: boolean;
  onProgress?: (written: { messages: number; bytes: number }) => void;
}

export const replayedSchema = z.object({
  file: z.string(),
  /** Without credentials and topic. */
  url: z.string(),
  messages: z.int(),
  bytes: z.int(),
  seconds: z.number(),
  rate: z.number(),
});
export type Replayed = z.output<typeof replayedSchema>;

/**
 * Publishes a recording again. Ctrl-C ends it with what was begun.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the line), AIOT_STREAM_EXPRESSION, AIOT_STREAM_EVALUATION (of `topic`), and what
 *   opening and writing throw
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
  // What is wrong with it is said before anything is connected.
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

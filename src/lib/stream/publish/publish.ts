import { z } from 'zod';
import type { Header, OutgoingMessage } from '../message.js';
import { openSink } from '../open.js';
import type { StreamOptions } from '../options.js';
import { compileTemplate } from '../print/template.js';
import { shownUrl } from '../secrets.js';
import { parseStreamUrl } from '../url.js';
import { messageOfLine } from './lines.js';
import { atRate, firstOf } from './pace.js';
import { writeAll } from './pipeline.js';
import { withTopics } from './topics.js';

/** Messages in one write, where they are made as fast as they are taken. */
const together = 500;

export interface PublishManyOptions extends Omit<StreamOptions, 'key'> {
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
export type PublishedMany = z.output<typeof publishedManySchema>;

/**
 * Publishes messages, many at once under way, and waits until the far side has them. Ctrl-C ends it with what was begun.
 * @throws AIOT_STREAM_EXPRESSION, AIOT_USAGE, AIOT_FILE_MALFORMED, and what opening and writing throw
 */
export async function publishMany(options: PublishManyOptions): Promise<PublishedMany> {
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
  // Of a paced one each is made when it goes: it may say what time it is.
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

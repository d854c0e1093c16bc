import { z } from 'zod';
import { openSink } from '../open.js';
import { tail } from '../tail/tail.js';
import type { TailEnd, TailOptions } from '../tail/types.js';

export interface RecordOptions extends TailOptions {
  /** File of message lines; packed where it ends with .gz. */
  out: string;
  onRecorded?: (messages: number) => void;
}

export const recordedSchema = z.object({
  file: z.string(),
  messages: z.int(),
  /** Thrown away because they came faster than the disk took them; none unless that was allowed. */
  dropped: z.int(),
  /** Of the first and the last message, ms since 1970; absent without any. */
  first: z.number().optional(),
  last: z.number().optional(),
});
export type Recorded = z.output<typeof recordedSchema>;

/**
 * Writes messages into a file: one line each with time, topic, key, headers and the payload, which comes back byte for byte. Each is
 * acknowledged when it is on disk. Ctrl-C ends it well.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL, and what `tail` throws
 */
export async function record(options: RecordOptions): Promise<Recorded> {
  const { out, onRecorded, signal, ...rest } = options;
  signal?.throwIfAborted();
  const sink = await openSink(fileUrl(out));
  const recorded: Recorded = { file: out, messages: 0, dropped: 0 };
  const ended: Partial<TailEnd> = await tail({ ...rest, signal }, async (batch) => {
    await sink.write(batch.map(({ message }) => message));
    recorded.first ??= batch[0]?.message.time;
    recorded.last = batch.at(-1)?.message.time;
    recorded.messages += batch.length;
    onRecorded?.(recorded.messages);
  })
    .catch((error: unknown) => {
      // Whoever stops it wants what there is.
      if (signal?.aborted) return {};
      throw error;
    })
    .finally(() => sink.close());
  return { ...recorded, dropped: ended.dropped ?? 0 };
}

/** Of a path, whatever is in it: a % or ? would mean something in a URL. */
export function fileUrl(path: string): string {
  return `file:${path.replace(/[%?]/g, encodeURIComponent)}?format=ndjson`;
}

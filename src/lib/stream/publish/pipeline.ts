import type { OutgoingMessage, Sink } from '../message.js';

/** Writes under way at once, so that waiting for acknowledgements is not waiting for each. */
const underWay = 8;

export interface Written {
  messages: number;
  bytes: number;
}

/**
 * Writes batches until there are no more, or `signal` is aborted; resolves when the far side has all that was begun.
 * @param onProgress what the far side has
 * @throws what a write throws; what was under way may have arrived or not
 */
export async function writeAll(
  sink: Sink,
  batches: AsyncIterable<readonly OutgoingMessage[]>,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (written: Written) => void } = {},
): Promise<Written> {
  const written: Written = { messages: 0, bytes: 0 };
  const pending: Promise<void>[] = [];
  const begin = async (batch: readonly OutgoingMessage[]) => {
    await sink.write(batch);
    written.messages += batch.length;
    for (const { payload } of batch) written.bytes += payload.length;
    onProgress?.(written);
  };
  for await (const batch of batches) {
    if (signal?.aborted) break;
    if (batch.length === 0) continue;
    const write = begin(batch);
    // Its failure is heard where it is waited for.
    write.catch(() => {});
    pending.push(write);
    if (pending.length >= underWay) await pending.shift();
  }
  await Promise.all(pending);
  return written;
}

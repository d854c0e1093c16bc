import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { hasCode, untilAborted } from '../../../core/index.js';
import { type OutgoingMessage, openSink, type Sink, type Source, type Spool } from '../../../stream/index.js';
import { dataTopic } from '../folders.js';
import { atMost } from './until.js';

/** Of one write. */
const [most, mostBytes] = [1000, 768 * 1024];
const closeMs = 500;
const pausesMs = { first: 100, longest: 5000 };

/** Puts what the broker is given on disk, and has it acknowledged then. Ends with the source. */
export async function spoolAll(source: Source, spool: Spool, log: Logger, onMore: () => void): Promise<void> {
  for await (const batch of source) {
    try {
      await spool.append(
        batch.map(({ message }) => ({ topic: dataTopic, payload: message.payload, time: message.time })),
      );
      for (const delivery of batch) delivery.ack();
      onMore();
    } catch (err) {
      // Their publishers send it again.
      for (const delivery of batch) delivery.nack();
      log.error({ err }, 'data of the guide could not be stored');
      await delay(500);
    }
  }
}

/** Sends what is on disk until the signal ends; Kafka may be away for as long as it likes. */
export async function sendAll(
  { url, spool, log, more }: { url: string; spool: Spool; log: Logger; more: () => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  let sink: Sink | undefined;
  let pauseMs = pausesMs.first;
  const write = async (messages: readonly OutgoingMessage[]): Promise<void> => {
    sink ??= await openSink(url, { connectTimeoutMs: 5000, signal });
    try {
      await untilAborted(sink.write(messages), signal);
    } catch (err) {
      if (!hasCode(err, 'AIOT_STREAM_MESSAGE_REFUSED')) throw err;
      const half = Math.ceil(messages.length / 2);
      if (messages.length === 1) return log.warn({ err }, 'Kafka refuses a message for good: it is dropped');
      await write(messages.slice(0, half));
      await write(messages.slice(half));
    }
  };
  try {
    while (!signal.aborted) {
      const chunk = await spool.read(most, mostBytes);
      if (chunk.messages.length === 0) {
        await more();
        continue;
      }
      try {
        await write(chunk.messages);
        await spool.commit(chunk);
        pauseMs = pausesMs.first;
      } catch (err) {
        if (signal.aborted) return;
        if (pauseMs === pausesMs.first)
          log.warn({ err }, 'Kafka does not take the guide’s data; it waits on disk');
        await atMost(closeMs, sink?.close());
        sink = undefined;
        await delay(pauseMs, undefined, { signal }).catch(() => {});
        pauseMs = Math.min(2 * pauseMs, pausesMs.longest);
      }
    }
  } finally {
    await atMost(closeMs, sink?.close());
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { onAbort, untilAborted } from '../../../core/index.js';
import { openSink, type Sink } from '../../../stream/index.js';
import type { GuideFiles } from '../files.js';
import type { Bell } from './bell.js';
import { controlMessage } from './control.js';
import { atMost } from './until.js';

/** Before it is tried again, ms. */
const pauseMs = 2000;

/** Says of each file that our ingest has made that it is there, in their order; those of an earlier process too. */
export async function announceAll(
  {
    files,
    bell,
    log,
    say,
  }: { files: GuideFiles; bell: Bell; log: Logger; say: (message: Buffer) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  let failing = false;
  while (!signal.aborted) {
    try {
      for (const file of await files.unannounced()) {
        await say(controlMessage('extract-data', file.name));
        await files.announced(file);
      }
      failing = false;
    } catch (err) {
      if (signal.aborted) return;
      if (!failing) log.warn({ err }, 'nobody can be told of the guide’s files now');
      failing = true;
    }
    if (failing) await delay(pauseMs, undefined, { signal }).catch(() => {});
    else await bell.wait(signal, 60_000);
  }
}

/** Says it on a topic of Kafka. The connection stays open until the signal ends. */
export function sayerTo(url: string, signal: AbortSignal): (message: Buffer) => Promise<void> {
  let sink: Sink | undefined;
  onAbort(signal, () => void sink?.close().catch(() => {}));
  return async (payload) => {
    sink ??= await openSink(url, { connectTimeoutMs: 5000, signal });
    try {
      await untilAborted(sink.write([{ topic: '', payload }]), signal);
    } catch (error) {
      await atMost(500, sink.close());
      sink = undefined;
      throw error;
    }
  };
}
